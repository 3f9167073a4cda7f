"""The passages of files' texts.

What the search compares of a passage, its words, is beside it in a form of each database (``text_search``).
"""

from __future__ import annotations

from django.db import models


class Passage(models.Model):
    """A part of a file's text rendition, from ``start`` to ``end`` in characters.

    ``page`` is null where the text has no pages; ``language`` is empty if unknown. ``version``: of the splitting
    (``passages.VERSION``).

    The database does not enforce the reference to the file, so that processes of the version before, which do not know
    this table, can delete files. Django deletes the passages with the file; the sweep deletes those without one.
    """

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        "windlass_files.FileAsset",
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="passages",
    )
    ordinal = models.PositiveIntegerField()
    text = models.TextField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    page = models.PositiveIntegerField(null=True, blank=True)
    language = models.CharField(max_length=8, default="", blank=True)
    version = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "ordinal"], name="one_passage_per_ordinal")]

    def __str__(self) -> str:
        return f"passage {self.ordinal} of {self.file_id}"
