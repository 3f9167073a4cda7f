"""Vectors of passages; in PostgreSQL with the extension pgvector, if the server has it."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import DatabaseError, migrations, models
from django.db.transaction import atomic

import windlass.kernel.clock

_VECTORS, _PASSAGES = "windlass_knowledge_passagevector", "windlass_knowledge_passage"
_SQLITE = (
    f"CREATE TRIGGER {_VECTORS}_delete AFTER DELETE ON {_PASSAGES} "
    f"BEGIN DELETE FROM {_VECTORS} WHERE passage_id = OLD.id; END"
)
_POSTGRESQL = (
    f"ALTER TABLE {_VECTORS} ADD CONSTRAINT windlass_knowledge_vector_of_passage "
    f"FOREIGN KEY (passage_id) REFERENCES {_PASSAGES} (id) ON DELETE CASCADE"
)


def create(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "sqlite":
        schema_editor.execute(_SQLITE, None)
    elif connection.vendor == "postgresql":
        schema_editor.execute(_POSTGRESQL, None)
        add_pgvector(connection)


def add_pgvector(connection: Any) -> None:
    """The server may lack the extension, or the role may not create it: then the search compares words."""
    try:
        with atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
            if cursor.fetchone():
                cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
                cursor.execute(f"ALTER TABLE {_VECTORS} ADD COLUMN IF NOT EXISTS embedding vector")
    except DatabaseError:
        return


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {_VECTORS}_delete", None)


class Migration(migrations.Migration):
    dependencies = [("windlass_knowledge", "0002_graph")]

    operations = [
        migrations.CreateModel(
            name="EmbeddingModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=200, unique=True)),
                ("dimensions", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(default=windlass.kernel.clock.now)),
            ],
        ),
        migrations.CreateModel(
            name="PassageVector",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("data", models.BinaryField(null=True)),
                (
                    "model",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="windlass_knowledge.embeddingmodel",
                    ),
                ),
                (
                    "passage",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="windlass_knowledge.passage",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["model", "id"], name="vectors_by_model")],
                "constraints": [
                    models.UniqueConstraint(fields=("passage", "model"), name="one_vector_per_passage_and_model")
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
