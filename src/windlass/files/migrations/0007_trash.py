from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_files", "0006_retention"),
    ]

    operations = [
        migrations.AddField(
            model_name="fileasset",
            name="trash_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="fileasset",
            name="trashed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="fileasset",
            index=models.Index(
                condition=models.Q(("trash_until__isnull", False)), fields=["trash_until"], name="file_by_trash"
            ),
        ),
    ]
