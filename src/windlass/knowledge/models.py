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


class FileGraph(models.Model):
    """That a file's text was searched for entities. ``revision`` changes with everything that is stored of them, so
    that an export can tell what it has; ``extractor`` names what found them, with its version."""

    file = models.OneToOneField(
        "windlass_files.FileAsset",
        primary_key=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="graph",
    )
    revision = models.UUIDField()
    extractor = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"graph of {self.file_id}"


class FileEntity(models.Model):
    """An entity as one file names it.

    ``entity`` is the same in all files of an owner that mean the same by its normal form (``graph.normal_forms``), so
    that an entity is what these rows have in common, and is gone with the last of them. ``exact`` is the same only
    where the names are equal but for case: a merge can be undone for it alone. ``name`` is as the file has it first.
    """

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        "windlass_files.FileAsset",
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="entities",
    )
    entity = models.UUIDField(db_index=True)
    exact = models.UUIDField(db_index=True)
    type = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    search_name = models.CharField(max_length=400)
    mentions = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "exact"], name="one_row_per_entity_of_a_file")]

    def __str__(self) -> str:
        return f"{self.type} {self.name} in {self.file_id}"


class EntityMention(models.Model):
    """Where a file names an entity: characters ``start`` to ``end`` of its text, in the passage ``passage`` (ordinal).
    ``confidence``: 0 to 1."""

    id = models.BigAutoField(primary_key=True)
    file_entity = models.ForeignKey(FileEntity, on_delete=models.CASCADE, db_constraint=False, related_name="places")
    passage = models.PositiveIntegerField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    confidence = models.FloatField()

    def __str__(self) -> str:
        return f"mention at {self.start}"


class EntityRelation(models.Model):
    """What a passage of a file says about two entities."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(FileEntity, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    target = models.ForeignKey(FileEntity, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    type = models.CharField(max_length=64)
    passage = models.PositiveIntegerField()
    confidence = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "target", "type", "passage"], name="one_relation_of_a_passage")
        ]

    def __str__(self) -> str:
        return f"{self.type} from {self.source_id} to {self.target_id}"


class PassageAnswer(models.Model):
    """What a language model answered about a passage, while the extraction of its file has not ended
    (``graph.model_answers``). ``key``: SHA-256 of the model, what it was asked and the passage. ``answer``: null if
    none came, empty if it is of no use. ``tokens``: what it has cost, also in calls that were not answered.
    """

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        "windlass_files.FileAsset",
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    key = models.CharField(max_length=64)
    answer = models.TextField(null=True, blank=True)  # noqa: DJ001  null and empty differ
    tokens = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["file", "key"], name="one_answer_per_passage_and_model")]

    def __str__(self) -> str:
        return f"answer about a passage of {self.file_id}"


class EntityMerge(models.Model):
    """That an owner's entity counts as another one. ``entity`` is a ``FileEntity.entity``, or a ``FileEntity.exact``
    that is taken out of its entity. Deleting the row undoes it.

    ``similarity``: of the names, if they were compared by a model and nobody decided; null for merges by hand. If such
    a merge is undone, the entity counts as itself from then on, so that it is not merged again.
    """

    entity = models.UUIDField(primary_key=True)
    counts_as = models.UUIDField(db_index=True)
    owner = models.CharField(max_length=255, db_index=True)
    similarity = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.entity} counts as {self.counts_as}"


class GraphExport(models.Model):
    """What a graph database has of a file. ``revision`` is null while it is not known whether it has that.

    ``attempts``: failed ones since it last had it; the next one is at ``due_at``, at once if that is null. ``reason``:
    why the graph database refused this file, if it accepted other writes.

    No reference to the file: the row outlives it until the other database has deleted its part.
    """

    file_id = models.UUIDField(primary_key=True)
    revision = models.UUIDField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    reason = models.CharField(max_length=300, default="", db_default="", blank=True)
    due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=models.Q(revision=None), name="exports_owed")]

    def __str__(self) -> str:
        return f"export of {self.file_id}"


class GraphModelUse(models.Model):
    """Tokens that the extraction by a language model has used on a day (UTC)."""

    day = models.DateField(primary_key=True)
    tokens = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tokens} tokens on {self.day}"
