from __future__ import annotations

from django.db import models


class RetainedObject(models.Model):
    """An object that no record names and that the sweep keeps until a given time: the copy that a move is making, or
    the old copy after a move, whose key a reader may have read a moment ago."""

    id = models.BigAutoField(primary_key=True)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_retained_object_per_key")]
        indexes = [models.Index(fields=["until"], name="retained_object_by_end")]

    def __str__(self) -> str:
        return self.key
