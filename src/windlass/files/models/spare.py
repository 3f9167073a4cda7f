from __future__ import annotations

from django.db import models


class SpareObject(models.Model):
    """An object that no record names and that the sweep leaves alone until a moment: the copy that a move is making, or
    the place that it has moved away from, which readers may have learned of a moment ago."""

    id = models.BigAutoField(primary_key=True)
    store = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    size = models.BigIntegerField()
    until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_spare_per_key")]
        indexes = [models.Index(fields=["until"], name="spare_by_end")]

    def __str__(self) -> str:
        return self.key
