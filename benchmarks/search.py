"""Measure the search: time of one query over many passages, by words, by vectors and by both.

``python -m benchmarks.search [PASSAGES] [--home DIR]`` fills a database (SQLite in a new directory or in DIR, or
that of DATABASE_URL) with files of ten passages, whose words are drawn as in natural texts, half of them of the owner
who searches, and prints a table. A database that has the passages already is searched as it is. Where the database can
keep no vectors (PostgreSQL without pgvector), only the search by words is measured.

Vectors have 384 numbers with 32 degrees of freedom, about as many as those of sentence models have: an index finds
vectors without any structure much less well. Passages of a file are near to each other. How many of the ten nearest an
index finds is printed too. A model's own time for a query is not part of the figures.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windlass.knowledge.vector_math import Vectors

SIZE = 384
#: Degrees of freedom of the vectors, and the lengths of what the passages of a file, and a query and what it is near
#: to, differ in, of that of a vector.
FREEDOM = 32
OF_PASSAGE, OF_QUERY = 0.5, 0.5
PER_FILE = 10
WORDS_PER_PASSAGE = 180
VOCABULARY = 30_000
QUERIES = 60
OWNERS = ("reader", "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages", nargs="?", type=int, default=20_000)
    parser.add_argument("--home", help="where SQLite's database stays; without it, it is removed in the end")
    given = parser.parse_args()
    with nullcontext(given.home) if given.home else tempfile.TemporaryDirectory() as home:
        os.environ |= {"WINDLASS_HOME": home, "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        import django
        from django.core.management import call_command

        from windlass.kernel.garbage_collection import exempt_what_is_loaded

        django.setup()
        from windlass.knowledge.vectors import vectors_available

        call_command("migrate", verbosity=0)
        _fill(given.passages)
        exempt_what_is_loaded()  # as a web process does
        print("| passages | mode | p50 ms CPU | p95 ms CPU | p50 ms | p95 ms |\n|---|---|---|---|---|---|")
        has_vectors = vectors_available()
        for mode in ("text", "vector", "hybrid") if has_vectors else ("text",):
            _measure(mode)  # warm
            cpu, wall = _measure(mode)
            figures = [_at(values, share) for values in (cpu, wall) for share in (0.5, 0.95)]
            print(f"| {given.passages} | {mode} | {' | '.join(f'{each:.1f}' for each in figures)} |")
        if has_vectors:
            print(f"Of the ten nearest passages of the caller, {_found_share():.3f} are found.")


def _words(chance: random.Random, count: int) -> list[str]:
    """Words by Zipf's law, as common and as rare as those of a text."""
    return [f"w{int(VOCABULARY ** chance.random()):05d}" for _ in range(count)]


def _text(chance: random.Random) -> str:
    return " ".join(_words(chance, WORDS_PER_PASSAGE))


def _vectors(numbers: Any, count: int) -> Vectors:
    """``count`` vectors of length 1."""
    import numpy as np

    spread = np.random.default_rng(0).normal(size=(FREEDOM, SIZE))
    return _normalized(numbers.normal(size=(count, FREEDOM)) @ spread)


def _near(numbers: Any, vectors: Vectors, distance: float) -> Vectors:
    return _normalized(vectors + distance * _vectors(numbers, len(vectors)))


def _normalized(vectors: Any) -> Vectors:
    from windlass.knowledge.vector_math import normalized

    return normalized(vectors)


def _fill(passages: int) -> None:
    import numpy as np

    from windlass.database.connection import atomic
    from windlass.files.api import FileAsset
    from windlass.knowledge.models import Passage
    from windlass.knowledge.text_search import add_words
    from windlass.knowledge.vectors import add_vectors, stored_model, vectors_available

    if Passage.objects.count() == passages:
        return
    chance, numbers = random.Random(1), np.random.default_rng(1)
    model = stored_model("random", SIZE) if vectors_available() else None
    values: dict[str, Any] = {"profile": "default", "status": "READY", "gate_passed": True, "size": 1}
    for start in range(0, passages, 100 * PER_FILE):
        files = [
            FileAsset(owner=OWNERS[number % 2], original_filename="a.txt", **values)
            for number in range(min(100, (passages - start) // PER_FILE))
        ]
        rows = [
            Passage(file=file, ordinal=ordinal, text=_text(chance), start=0, end=1, version=1)
            for file in files
            for ordinal in range(PER_FILE)
        ]
        vectors = _near(numbers, np.repeat(_vectors(numbers, len(files)), PER_FILE, axis=0), OF_PASSAGE)
        with atomic():
            FileAsset.objects.bulk_create(files)
            saved = Passage.objects.bulk_create(rows)
            add_words(saved)
            if model is not None:
                add_vectors(model, [(row.pk, vector) for row, vector in zip(saved, vectors, strict=True)])


def _query_vector(number: int) -> Vectors:
    """Near to a vector that any passage could have."""
    import numpy as np

    numbers = np.random.default_rng(number)
    return _near(numbers, _vectors(numbers, 1), OF_QUERY)


def _found_share() -> float:
    """Of the ten nearest passages of the caller, by comparing all of them, the share that the search finds."""
    from windlass.files.api import visible_files
    from windlass.kernel.principals import Principal
    from windlass.knowledge import api as knowledge
    from windlass.knowledge.vectors import find_nearest

    principal = Principal(OWNERS[0])
    files, found = visible_files(principal), 0
    ids, vectors = _all_vectors()
    for number in range(QUERIES):
        asked = knowledge.QueryVector("random", _query_vector(number))
        nearest = {ids[slot] for slot in (-(vectors @ asked.vector[0])).argsort()[:10]}
        found += len(nearest & {each.passage_id for each in find_nearest(asked, files, principal.owners, 10)})
    return found / (10 * QUERIES)


def _all_vectors() -> tuple[Sequence[int], Vectors]:
    """The passages of the caller, and their vectors."""
    import numpy as np

    from windlass.database.connection import connection
    from windlass.knowledge.vector_math import loaded

    database = connection()
    column = "v.embedding::text" if database.vendor == "postgresql" else "v.data"
    with database.cursor() as cursor:
        cursor.execute(
            f"SELECT v.passage_id, {column} FROM windlass_knowledge_passagevector v "
            "JOIN windlass_knowledge_passage p ON p.id = v.passage_id "
            "JOIN windlass_files_fileasset f ON f.id = p.file_id WHERE f.owner = %s",
            [OWNERS[0]],
        )
        rows = cursor.fetchall()
    if database.vendor == "sqlite":
        return [row[0] for row in rows], loaded([row[1] for row in rows], SIZE)
    return [row[0] for row in rows], np.array([np.fromstring(row[1][1:-1], sep=",") for row in rows], dtype=np.float32)


def _measure(mode: str) -> tuple[list[float], list[float]]:
    """Milliseconds of processor and of time, of each query."""
    chance = random.Random(2)
    times = [_timed(_query(mode, chance)) for _ in range(QUERIES)]
    return [cpu for cpu, _ in times], [wall for _, wall in times]


def _query(mode: str, chance: random.Random) -> Callable[[], object]:
    from windlass.files.api import visible_files
    from windlass.kernel.principals import Principal
    from windlass.knowledge import api as knowledge

    principal = Principal(OWNERS[0])
    words = " ".join(islice((word for word in _words(chance, 50) if word > "w00020"), 4))
    vector = _query_vector(chance.randrange(10_000))
    vectors = [] if mode == "text" else [knowledge.QueryVector("random", vector)]
    return lambda: knowledge.search(
        words, visible_files(principal), 20, owners=principal.owners, vectors=vectors, by_words=mode != "vector"
    )


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), _processor_seconds()
    call()
    return (_processor_seconds() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def _processor_seconds() -> float:
    """Of this process, and of the process of PostgreSQL that serves it, if that is on this machine."""
    from windlass.database.connection import connection

    database = connection()
    if database.vendor != "postgresql":
        return time.process_time()
    database.ensure_connection()
    schedule = Path(f"/proc/{database.connection.info.backend_pid}/schedstat")
    server = int(schedule.read_text().split()[0]) / 1e9 if schedule.is_file() else 0.0
    return time.process_time() + server


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    main()
