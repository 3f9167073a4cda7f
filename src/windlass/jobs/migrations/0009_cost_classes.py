from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('windlass_jobs', '0008_open_jobs'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='cost',
            field=models.CharField(choices=[('light', 'Light'), ('heavy', 'Heavy')], db_default='light', default='light', max_length=16),
        ),
    ]
