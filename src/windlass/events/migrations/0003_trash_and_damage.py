from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("windlass_events", "0002_system_breaker"),
    ]

    operations = [
        migrations.AlterField(
            model_name="event",
            name="type",
            field=models.CharField(
                choices=[
                    ("upload.created", "Upload Created"),
                    ("upload.completed", "Upload Completed"),
                    ("upload.expired", "Upload Expired"),
                    ("upload.cancelled", "Upload Cancelled"),
                    ("file.created", "File Created"),
                    ("file.stage", "File Stage"),
                    ("file.step", "File Step"),
                    ("file.ready", "File Ready"),
                    ("file.rejected", "File Rejected"),
                    ("file.quarantined", "File Quarantined"),
                    ("file.failed", "File Failed"),
                    ("file.released", "File Released"),
                    ("file.trashed", "File Trashed"),
                    ("file.restored", "File Restored"),
                    ("file.deleted", "File Deleted"),
                    ("file.damaged", "File Damaged"),
                    ("file.mended", "File Mended"),
                    ("job.dead", "Job Dead"),
                    ("system.breaker", "System Breaker"),
                ],
                max_length=32,
            ),
        ),
    ]
