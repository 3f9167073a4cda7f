"""The trace that a job continues. The database fills the column for processes of the previous version."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("windlass_jobs", "0004_process_heartbeats")]

    operations = [
        migrations.AddField(
            "job",
            "trace_context",
            models.CharField(blank=True, db_default="", default="", editable=False, max_length=55),
        ),
    ]
