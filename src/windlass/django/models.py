from __future__ import annotations

from django.db import models


class SignalCursor(models.Model):
    """The last event that was sent as a signal, and the process that sends the next ones: one row, with the id ROW."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    event_id = models.BigIntegerField()
    holder = models.CharField(max_length=64, default="", blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[SignalCursor] = models.Manager()

    class Meta:
        app_label = "windlass_django"

    def __str__(self) -> str:
        return f"signals up to event {self.event_id}"
