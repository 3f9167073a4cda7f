"""Rename ``rung_at`` to ``notified_at`` in the model; the column keeps its name, so that no table is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("windlass_jobs", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="rung_at",
            field=models.DateTimeField(blank=True, db_column="rung_at", null=True),
        ),
        migrations.RenameField(model_name="job", old_name="rung_at", new_name="notified_at"),
    ]
