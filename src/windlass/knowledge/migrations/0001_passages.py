"""Passages, and in each database what its full text search needs."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

from windlass.knowledge import postgresql_text_search, sqlite_text_search

_TEXT_SEARCH = {"sqlite": sqlite_text_search, "postgresql": postgresql_text_search}


def create(apps: Any, schema_editor: Any) -> None:
    for statement in _TEXT_SEARCH[schema_editor.connection.vendor].CREATE:
        schema_editor.execute(statement, None)


def drop(apps: Any, schema_editor: Any) -> None:
    for statement in _TEXT_SEARCH[schema_editor.connection.vendor].DROP:
        schema_editor.execute(statement, None)


class Migration(migrations.Migration):
    initial = True

    dependencies = [("windlass_files", "0016_upload_address_key")]

    operations = [
        migrations.CreateModel(
            name="Passage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("ordinal", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("start", models.PositiveIntegerField()),
                ("end", models.PositiveIntegerField()),
                ("page", models.PositiveIntegerField(blank=True, null=True)),
                ("language", models.CharField(blank=True, default="", max_length=8)),
                ("version", models.PositiveSmallIntegerField()),
                (
                    "file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="passages",
                        to="windlass_files.fileasset",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("file", "ordinal"), name="one_passage_per_ordinal")
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
