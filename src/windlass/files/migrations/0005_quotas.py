from typing import Any

from django.db import migrations, models
from django.db.models import F
from django.db.models.functions import Coalesce

LIVING = ["active", "assembling"]


def reserve_what_is_under_way(apps: Any, schema_editor: Any) -> None:
    sessions = apps.get_model("windlass_files", "UploadSession").objects.using(schema_editor.connection.alias)
    sessions.filter(status__in=LIVING).update(reserved=Coalesce(F("size"), F("offset")))


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_files", "0004_chunk_store_state"),
    ]

    operations = [
        migrations.CreateModel(
            name="OwnerAccount",
            fields=[
                ("owner", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "bytes_limit",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="Empty: QUOTA_BYTES. 0: no limit.", null=True
                    ),
                ),
                (
                    "files_limit",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="Empty: QUOTA_FILES. 0: no limit.", null=True
                    ),
                ),
                ("bytes_used", models.BigIntegerField(default=0)),
                ("bytes_reserved", models.BigIntegerField(default=0)),
                ("files_used", models.BigIntegerField(default=0)),
                ("files_reserved", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name="uploadsession",
            name="reserved",
            field=models.BigIntegerField(default=0),
        ),
        migrations.RunPython(reserve_what_is_under_way, migrations.RunPython.noop),
    ]
