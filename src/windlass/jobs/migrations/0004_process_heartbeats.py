"""Which workers and schedulers run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("windlass_jobs", "0003_dead_letters")]

    operations = [
        migrations.CreateModel(
            name="ProcessHeartbeat",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "role",
                    models.CharField(choices=[("worker", "Worker"), ("scheduler", "Scheduler")], max_length=16),
                ),
                ("stages", models.CharField(blank=True, default="", max_length=200)),
                ("seen_at", models.DateTimeField()),
            ],
        ),
    ]
