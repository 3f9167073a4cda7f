"""What dead letters are listed, filtered and retried by. Those that exist take it from their last attempt."""

from typing import Any

from django.db import migrations, models
from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce


def fill(apps: Any, schema_editor: Any) -> None:
    job, attempt = (apps.get_model("windlass_jobs", name) for name in ("Job", "Attempt"))
    alias = schema_editor.connection.alias
    last = attempt.objects.using(alias).filter(job=OuterRef("pk")).order_by("-id")
    job.objects.using(alias).filter(state="dead").update(
        dead_at=F("updated_at"),
        dead_step=Coalesce(Subquery(last.values("step")[:1]), Value("")),
        dead_error_class=Coalesce(Subquery(last.values("error_class")[:1]), Value("")),
    )


class Migration(migrations.Migration):
    dependencies = [("windlass_jobs", "0002_notified_at")]

    operations = [
        migrations.AddField("job", "retries", models.PositiveIntegerField(default=0, db_default=0)),
        migrations.AddField("job", "retry_due_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("job", "dead_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("job", "dead_step", models.CharField(blank=True, default="", db_default="", max_length=64)),
        migrations.AddField("job", "dead_error_class", models.CharField(blank=True, default="", db_default="", max_length=200)),
        migrations.AddField("attempt", "retry", models.PositiveIntegerField(default=0, db_default=0)),
        migrations.AddField("attempt", "request_id", models.CharField(blank=True, default="", db_default="", max_length=128)),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        migrations.AddIndex(
            "job", models.Index(fields=["dead_at", "id"], condition=models.Q(state="dead"), name="dead_letters")
        ),
        migrations.AddIndex(
            "job", models.Index(fields=["retry_due_at"], condition=models.Q(retries__gt=0), name="retried_jobs")
        ),
        migrations.AddIndex(
            "attempt",
            models.Index(
                fields=["ended_at"], condition=models.Q(outcome__in=("failed", "lost")), name="failed_attempts"
            ),
        ),
        migrations.AddIndex(
            "attempt",
            models.Index(fields=["started_at"], condition=models.Q(retry__gt=0), name="attempts_of_retries"),
        ),
    ]
