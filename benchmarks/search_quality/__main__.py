"""Measure how well the search finds what answers a question: by words, by meaning, and by both.

``python -m benchmarks.search_quality MODEL_DIRECTORY`` indexes 60 short documents in three languages, each with two
questions (one with its words, one in other words), and prints recall@10, recall@1 and the mean reciprocal rank of each
mode as a table. Documents and questions were written for this; the database is a new SQLite.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

HERE = Path(__file__).parent
LANGUAGES = ("english", "german", "spanish")
MODES = ("text", "vector", "hybrid")
MOST = 10


@dataclass(frozen=True)
class Document:
    language: str
    text: str
    questions: Sequence[str]


@dataclass(frozen=True)
class Figures:
    """Of some questions: the shares whose document is among the first ten, and first; and the mean of 1 / rank."""

    recall: float
    first: float
    reciprocal: float


def documents() -> Iterator[Document]:
    for language in LANGUAGES:
        for block in (HERE / f"{language}.txt").read_text().split("\n\n"):
            lines = block.strip().splitlines()
            questions = [line.removeprefix("? ") for line in lines if line.startswith("? ")]
            yield Document(language, " ".join(line for line in lines if not line.startswith("? ")), questions)


def measure(model: str) -> dict[tuple[str, str], Figures]:
    """By language (and ``all``) and mode."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"WINDLASS_HOME": home, "EMBEDDINGS": "local", "EMBEDDINGS_MODEL": model, "DATABASE_URL": ""}
        os.environ["DJANGO_SETTINGS_MODULE"] = "windlass.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        known = list(documents())
        ids = [_index(document) for document in known]
        ranks: dict[tuple[str, str], list[int | None]] = {}
        for document, file_id in zip(known, ids, strict=True):
            for mode in MODES:
                found = [_rank(question, file_id, mode) for question in document.questions]
                for language in (document.language, "all"):
                    ranks.setdefault((language, mode), []).extend(found)
    return {group: _figures(each) for group, each in ranks.items()}


def _index(document: Document) -> UUID:
    from windlass.files.api import FileAsset
    from windlass.knowledge.indexing import PassageIndex

    values: dict[str, Any] = {"size": len(document.text), "status": "READY", "gate_passed": True}
    asset = FileAsset.objects.create(owner="all", profile="default", original_filename="a.txt", **values)
    index = PassageIndex()
    index.replace(asset.id, index.prepare(document.text, one_page=False))
    index.embed(asset.id, nullcontext)
    return asset.id


def _rank(question: str, file_id: UUID, mode: str) -> int | None:
    from windlass.files.api import visible_files
    from windlass.kernel.principals import Principal
    from windlass.knowledge import api as knowledge

    vectors = () if mode == "text" else knowledge.query_vectors(question)
    files = visible_files(Principal("all"))
    found = knowledge.search(question, files, MOST, vectors=vectors, by_words=mode != "vector")
    return next((rank for rank, each in enumerate(found, 1) if each.file_id == file_id), None)


def _figures(ranks: Sequence[int | None]) -> Figures:
    count = len(ranks)
    return Figures(
        sum(rank is not None for rank in ranks) / count,
        sum(rank == 1 for rank in ranks) / count,
        sum(1 / rank for rank in ranks if rank) / count,
    )


def main() -> None:
    figures = measure(sys.argv[1])
    print("| questions | mode | recall@10 | first | mean reciprocal rank |\n|---|---|---|---|---|")
    for language in ("all", *LANGUAGES):
        for mode in MODES:
            each = figures[language, mode]
            print(f"| {language} | {mode} | {each.recall:.3f} | {each.first:.3f} | {each.reciprocal:.3f} |")


if __name__ == "__main__":
    main()
