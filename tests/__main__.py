"""Run every test, in a pytest process for each group of files and as many groups at a time as there are cores.

A group has a process of its own, so that neither memory nor threads of a thousand tests before it slow it down, and so
that a crash or a hang ends one group. ``pytest`` itself runs any part in one process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
#: Longer than any group takes on two busy cores (seconds).
GROUP_SECONDS = 1800
#: Files that run by themselves in the end: they send at a steady rate and count what the server holds of it.
ALONE = ("test_memory.py",)
#: pytest's exit codes of a run without failures; 5: the group has no tests.
_GOOD = {0, 5}
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")


@dataclass(frozen=True)
class Ended:
    name: str
    code: int
    output: str
    seconds: float

    @property
    def skips(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("SKIPPED")]

    @property
    def counts(self) -> Counter[str]:
        last = self.output.rstrip().rpartition("\n")[2]
        return Counter({kind.rstrip("s") if kind == "errors" else kind: int(n) for n, kind in _COUNT.findall(last)})


def groups() -> list[list[Path]]:
    """Those that may run beside each other. Long ones first, so that the cores end at about the same time."""
    whole = [[TESTS / "integration" / "processing"], sorted((TESTS / "integration").glob("test_*.py"))]
    files = sorted((TESTS / "process").glob("test_*.py"), key=lambda file: -file.stat().st_size)
    files = [file for file in files if file.name not in ALONE]
    others = [[TESTS / name] for name in ("browser", "contract", "hostile", "pure")]
    return [*whole, *others, *([file] for file in files)]


def run(group: Sequence[Path]) -> Ended:
    name = group[0].relative_to(TESTS.parent).as_posix() if len(group) == 1 else f"{group[0].parent.name}/test_*.py"
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "--quiet", *map(str, group)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=GROUP_SECONDS
        )
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, output = 1, f"{error.stdout or b''!s}\nnot over after {GROUP_SECONDS} s: 1 failed"
    return Ended(name, code, output, time.monotonic() - began)


def results() -> Iterator[Ended]:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for future in as_completed([pool.submit(run, group) for group in groups()]):
            yield future.result()
    for name in ALONE:
        yield run([TESTS / "process" / name])


def main() -> int:
    total: Counter[str] = Counter()
    failed: list[Ended] = []
    skips: list[str] = []
    for ended in results():
        total += ended.counts
        skips += ended.skips
        shown = ", ".join(f"{count} {kind}" for kind, count in ended.counts.items())
        print(f"{ended.name}: {shown} in {ended.seconds:.0f} s", flush=True)
        if ended.code not in _GOOD:
            failed.append(ended)
            print(ended.output, flush=True)
    print(*skips, sep="\n")
    for ended in failed:
        print(f"failed: {ended.name} (pytest's exit code {ended.code})")
    bad = total["failed"] + total["error"] or len(failed)
    print(f"{total['passed']} passed, {bad} failed, {total['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
