from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("windlass_files", "0010_search_name")]

    operations = [
        migrations.AddField(
            model_name="fileasset",
            name="metadata_size",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
