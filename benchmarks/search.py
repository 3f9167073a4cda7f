"""Measure the search: processor time of one query over many passages, by words, by vectors and by both.

``python -m benchmarks.search [PASSAGES]`` fills a new database (SQLite, or DATABASE_URL) with files of ten passages,
whose words are drawn as in natural texts, half of them of the owner who searches, and prints a table. Vectors are
random: finding them takes as long as finding those of a model, whose own time for a query is not part of the figures.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

SIZE = 384
PER_FILE = 10
WORDS_PER_PASSAGE = 180
VOCABULARY = 30_000
QUERIES = 60
OWNERS = ("reader", "other")


def main() -> None:
    passages = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"WINDLASS_HOME": home, "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        _fill(passages)
        print("| passages | mode | p50 ms CPU | p95 ms CPU | p95 ms |\n|---|---|---|---|---|")
        for mode in ("text", "vector", "hybrid"):
            _measure(mode)  # warm
            cpu, wall = _measure(mode)
            print(f"| {passages} | {mode} | {_at(cpu, 0.5):.1f} | {_at(cpu, 0.95):.1f} | {_at(wall, 0.95):.1f} |")


def _words(chance: random.Random, count: int) -> list[str]:
    """Words by Zipf's law, as common and as rare as those of a text."""
    return [f"w{int(VOCABULARY ** chance.random()):05d}" for _ in range(count)]


def _text(chance: random.Random) -> str:
    return " ".join(_words(chance, WORDS_PER_PASSAGE))


def _fill(passages: int) -> None:
    import numpy as np

    from windlass.database.connection import atomic
    from windlass.files.api import FileAsset
    from windlass.knowledge.models import Passage
    from windlass.knowledge.text_search import add_words
    from windlass.knowledge.vectors import add_vectors, stored_model

    chance, numbers = random.Random(1), np.random.default_rng(1)
    model = stored_model("random", SIZE)
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
        vectors = numbers.normal(size=(len(rows), SIZE)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with atomic():
            FileAsset.objects.bulk_create(files)
            saved = Passage.objects.bulk_create(rows)
            add_words(saved)
            add_vectors(model, [(row.pk, vector) for row, vector in zip(saved, vectors, strict=True)])


def _measure(mode: str) -> tuple[list[float], list[float]]:
    """Milliseconds of processor and of time, of each query."""
    chance = random.Random(2)
    times = [_timed(_query(mode, chance)) for _ in range(QUERIES)]
    return [cpu for cpu, _ in times], [wall for _, wall in times]


def _query(mode: str, chance: random.Random) -> Callable[[], object]:
    import numpy as np

    from windlass.files.api import visible_files
    from windlass.kernel.principals import Principal
    from windlass.knowledge import api as knowledge

    principal = Principal(OWNERS[0])
    words = " ".join(islice((word for word in _words(chance, 50) if word > "w00020"), 4))
    vector = np.random.default_rng(chance.randrange(10_000)).normal(size=(1, SIZE)).astype(np.float32)
    vector /= np.linalg.norm(vector)
    vectors = [] if mode == "text" else [knowledge.QueryVector("random", vector)]
    return lambda: knowledge.search(
        words, visible_files(principal), 20, owners=principal.owners, vectors=vectors, by_words=mode != "vector"
    )


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    main()
