"""The passages of files' texts, and their vectors.

What the search compares of a passage, its words, is beside it in a form of each database (``text_search``), and so are
the numbers of its vectors (``vectors``).
"""

from __future__ import annotations

from django.db import models

from windlass.kernel.clock import now


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


class EmbeddingModel(models.Model):
    """A model that has made vectors. ``key``: its name and version; ``dimensions``: the numbers of each vector."""

    key = models.CharField(max_length=200, unique=True)
    dimensions = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return self.key


class PassageVector(models.Model):
    """The vector of a passage by one model. The database deletes it with its passage.

    ``data``: its numbers (``vector_math``). Null in PostgreSQL, where a column ``embedding`` of pgvector has them,
    which this model does not know.
    """

    id = models.BigAutoField(primary_key=True)
    passage = models.ForeignKey(
        Passage, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    model = models.ForeignKey(EmbeddingModel, on_delete=models.PROTECT, db_index=False, related_name="+")
    data = models.BinaryField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["passage", "model"], name="one_vector_per_passage_and_model")]
        indexes = [models.Index(fields=["model", "id"], name="vectors_by_model")]

    def __str__(self) -> str:
        return f"vector of passage {self.passage_id}"
