from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_files", "0005_quotas"),
    ]

    operations = [
        migrations.AddField(
            model_name="fileasset",
            name="release_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="fileasset",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="file_by_end"
            ),
        ),
        migrations.AddIndex(
            model_name="fileasset",
            index=models.Index(
                condition=models.Q(("release_at__isnull", False)), fields=["release_at"], name="file_by_release"
            ),
        ),
    ]
