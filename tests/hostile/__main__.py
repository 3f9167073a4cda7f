"""Try every hostile file and many mutants, and say how they ended. ``make hostile`` calls this."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.hostile.catalogue import Bait
from tests.hostile.runner import Trial, document, endings, hand_made, mutants, written_as
from tests.hostile.sandbox_trial import Ending

MIB = 2**20
PROFILES = ("boundless", "limited", "everything")


def main() -> int:
    asked = _arguments()
    if asked.write is not None:
        return _write(asked)
    trials = _trials(asked)
    found, began = [], time.monotonic()
    for ending in endings(trials, asked.processes, asked.keep):
        found.append(ending)
        for breach in ending.breaches:
            print(f"\r{ending.name} [{ending.profile}]: {breach}", flush=True)
        _progress(len(found), len(trials), time.monotonic() - began)
    print()
    for line in _summary(found):
        print(line)
    if asked.json is not None:
        asked.json.write_text("".join(json.dumps(document(ending)) + "\n" for ending in found))
    return 1 if any(ending.breaches for ending in found) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="mutants (300)")
    parser.add_argument("--seed", type=int, default=1, help="their seed (1)")
    parser.add_argument("--index", type=int, help="this mutant only")
    parser.add_argument("--name", help="this file of the catalogue only, or all whose name begins so")
    parser.add_argument("--profile", help="for the catalogue: one of its profiles only")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="(2)")
    parser.add_argument("--keep", type=Path, help="directory for the files that ended in a breach")
    parser.add_argument("--json", type=Path, help="file for every ending, one JSON document a line")
    parser.add_argument("--write", type=Path, help="write the files to this directory instead of trying them")
    return parser.parse_args()


def _trials(asked: argparse.Namespace) -> list[Trial]:
    if asked.index is not None:
        return [Trial(seed=asked.seed, index=asked.index, profile=name) for name in PROFILES]
    profiles = [asked.profile] if asked.profile else PROFILES
    listed = [trial for name in profiles for trial in hand_made(name)]
    if asked.name is not None:
        return [trial for trial in listed if trial.name.startswith(asked.name)]
    return [*listed, *mutants(asked.seed, asked.count)]


def _write(asked: argparse.Namespace) -> int:
    """Baited files point at port 9, where no server listens, and at files that do not exist."""
    asked.write.mkdir(parents=True, exist_ok=True)
    for trial in {written_as(trial): trial for trial in _trials(asked)}.values():
        listed = trial.file()
        content = listed.make(Bait(9, "/canary.txt", "/canary.png", "/canary.m3u8"))
        (asked.write / written_as(trial)).write_bytes(content)
        print(f"{asked.write / written_as(trial)}: {listed.name}, {listed.about}")
    return 0


def _progress(done: int, total: int, seconds: float) -> None:
    if sys.stdout.isatty() or done % 200 == 0 or done == total:
        print(f"\r{done} of {total}, {done / seconds:.1f} files/s", end="" if done < total else "\n", flush=True)


def _summary(found: Iterable[Ending]) -> Iterable[str]:
    kinds: dict[str, list[Ending]] = defaultdict(list)
    for ending in found:
        kinds[ending.mime_type or "(no type)"].append(ending)
    yield f"{'type':<58} {'files':>5} {'slowest s':>9} {'most MiB':>8}  ended"
    for name, members in sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0])):
        ends = Counter(ending.kind for ending in members)
        told = ", ".join(f"{count} {kind}" for kind, count in ends.most_common())
        slowest, most = max(each.seconds for each in members), max(each.peak_memory for each in members)
        yield f"{name[:58]:<58} {len(members):>5} {slowest:>9.2f} {most // MIB:>8}  {told}"
    every = [ending for members in kinds.values() for ending in members]
    yield from _extremes("slowest", sorted(every, key=lambda each: -each.seconds))
    yield from _extremes("largest", sorted(every, key=lambda each: -each.peak_memory))
    breached = [each for each in every if each.breaches]
    yield f"{len(every)} files: {dict(Counter(each.status for each in every))}; {len(breached)} with a breach"


def _extremes(title: str, ordered: list[Ending]) -> Iterable[str]:
    for each in ordered[:5]:
        taken = f"{each.seconds:.2f} s, {each.peak_memory // MIB} MiB"
        yield f"{title}: {each.name} [{each.profile}], {taken}: {each.told[:160]}"


if __name__ == "__main__":
    sys.exit(main())
