import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_files", "0007_trash"),
    ]

    operations = [
        migrations.AddField(
            model_name="blob",
            name="damage",
            field=models.CharField(blank=True, default="", max_length=16),
        ),
        migrations.AddField(
            model_name="blob",
            name="damage_detail",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="blob",
            name="damaged_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="blob",
            name="verified_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="blob",
            index=models.Index(
                django.db.models.functions.comparison.Coalesce("verified_at", "created_at"),
                models.F("id"),
                name="blob_by_verification",
            ),
        ),
        migrations.AddIndex(
            model_name="blob",
            index=models.Index(
                condition=models.Q(("damaged_at__isnull", False)), fields=["damaged_at"], name="blob_by_damage"
            ),
        ),
    ]
