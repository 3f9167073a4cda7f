import django.db.models.deletion
import windlass.django.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('windlass_files', '0014_idempotency_key'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Picture',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('title', models.CharField(max_length=100)),
                ('author', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ('file', windlass.django.fields.FileAssetField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, profile='pictures', related_name='+', to='windlass_files.fileasset')),
            ],
        ),
    ]
