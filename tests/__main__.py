"""Run every test (or with ``--fast`` the fast ones) in a pytest process per group of files, several groups at a time.

Each group has a process of its own, so that neither memory nor threads of earlier tests slow it down and a crash or a
hang ends one group only. ``pytest`` itself runs any part in one process.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
#: Longer than any group takes on two busy cores (seconds).
GROUP_SECONDS = 1800
#: One group more than there are cores: most groups wait for servers, clients and time-outs half of the time.
EXTRA_GROUPS = 1
#: Groups that start Chromium, which run at the same time: each keeps about a core busy, with the server that it opens.
BROWSER_GROUPS = max(1, (os.cpu_count() or 1) // 2)
#: Files that run by themselves at the end: they send at a steady rate and measure what the server holds meanwhile.
ALONE = ("test_memory.py",)
#: Small files whose tests take long.
LONG = ("test_benchmarks.py", "test_docs_examples.py", "test_chaos.py", "test_backup.py")
#: Files whose tests use the shared server of tests/process/conftest.py and do not measure it: two groups of them need
#: two servers.
SHARING = (
    "test_chunks.py",
    "test_direct_upload.py",
    "test_ietf_uploads.py",
    "test_interop_tus_js.py",
    "test_interop_tuspy.py",
    "test_malformed_http.py",
    "test_media_api.py",
    "test_text.py",
    "test_tus_extensions.py",
    "test_tus_uploads.py",
    "test_whole_uploads.py",
    "test_zip_downloads.py",
)
#: Files of tests/process below this size (bytes) run in ``PACKS`` groups: pytest's start costs as much as a test.
SMALL = 13_000
PACKS = 8
#: Files of tests/browser below this size share a Chromium.
SMALL_IN_BROWSER = 6_000
#: pytest's exit codes of a run without failures; 5: the group has no tests.
_PASSED = {0, 5}
#: Failed tests of a group up to this number are run once more, by themselves; more of them have a common cause.
MOST_REPEATED = 5
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected)\b")


@dataclass(frozen=True)
class GroupResult:
    group: Group
    exit_code: int
    output: str
    seconds: float

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def passed(self) -> bool:
        return self.exit_code in _PASSED

    @property
    def may_be_repeated(self) -> bool:
        """Whether a few tests failed, and nothing else: no crash, no time-out, no error while collecting."""
        return self.exit_code == 1 and 0 < self.counts["failed"] + self.counts["error"] <= MOST_REPEATED

    @property
    def skips(self) -> list[str]:
        return [line for line in self.output.splitlines() if line.startswith("SKIPPED")]

    @property
    def counts(self) -> Counter[str]:
        """Of pytest's summary: the last line with counts, since the interpreter may print warnings when it ends."""
        found: list[tuple[str, str]] = next(filter(None, map(_COUNT.findall, reversed(self.output.splitlines()))), [])
        return Counter({kind.rstrip("s") if kind == "errors" else kind: int(n) for n, kind in found})


@dataclass(frozen=True)
class Group:
    """Test files that one pytest process runs."""

    paths: Sequence[Path]
    options: Sequence[str] = ()

    @property
    def starts_browsers(self) -> bool:
        return self.paths[0].parent == BROWSER

    @property
    def name(self) -> str:
        first = self.paths[0].relative_to(TESTS.parent)
        more = len(self.paths) - 1
        files = first.as_posix() if not more else f"{first.as_posix()} and {more} more"
        return " ".join([files, *self.options])

    def run(self, *more: str) -> GroupResult:
        started = time.monotonic()
        cache = f"cache_dir=.pytest_cache/{re.sub('[^a-z0-9]+', '-', self.name)}"
        command = [sys.executable, "-m", "pytest", "--quiet", "-o", cache, *self.options, *more, *map(str, self.paths)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=GROUP_SECONDS
            )
            exit_code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            exit_code, output = 1, f"{error.stdout or b''!s}\nnot finished after {GROUP_SECONDS} s: 1 failed"
        return GroupResult(self, exit_code, output, time.monotonic() - started)

    def repeat_failed(self) -> GroupResult:
        """Run the tests that failed last once more."""
        return self.run("--last-failed", "--last-failed-no-failures=none")


BROWSER = TESTS / "browser"
LOCAL_STORE = TESTS / "contract" / "test_local_store.py"
MODEL = TESTS / "model"
PROCESSING = TESTS / "integration" / "processing"
_REQUESTS = [file for file in sorted((TESTS / "integration").rglob("test_*.py")) if PROCESSING not in file.parents]
#: The long part in two, which take about as long: file by file in turn.
INTEGRATION = (_REQUESTS[::2], _REQUESTS[1::2], [PROCESSING])


def fast_groups() -> list[Group]:
    """Pure tests, models of leases and claims, the store contract on the local store, and integration on SQLite."""
    return [Group(paths, ("--fast",)) for paths in (*INTEGRATION, [TESTS / "pure"], [MODEL], [LOCAL_STORE])]


def other_groups() -> list[Group]:
    """The rest but ``ALONE``. Long groups come first, so that the cores end together: those of ``LONG``, and else the
    size of a file stands for how long it takes."""
    slow = [Group(paths, ("--not-fast",)) for paths in (*INTEGRATION, [TESTS / "pure"])]
    contract = [file for file in sorted((TESTS / "contract").rglob("test_*.py")) if file != LOCAL_STORE]
    files = [file for file in largest_first(TESTS / "process") if file.name not in (*ALONE, *SHARING)]
    long = [file for file in files if file.name in LONG]
    large, small = divided([file for file in files if file not in long], SMALL)
    in_browser, small_in_browser = divided(largest_first(BROWSER), SMALL_IN_BROWSER)
    sharing = [TESTS / "process" / name for name in SHARING]
    together = [contract, sharing[::2], sharing[1::2], small_in_browser, *(small[n::PACKS] for n in range(PACKS))]
    first, last = [*long, TESTS / "hostile"], [*in_browser, *large]
    return [*slow, *singly(first), *(Group(paths) for paths in together), *singly(last)]


def singly(paths: Iterable[Path]) -> Iterator[Group]:
    return (Group([path]) for path in paths)


def divided(files: Sequence[Path], size: int) -> tuple[list[Path], list[Path]]:
    """Those of at least ``size`` bytes, and the smaller ones."""
    return [file for file in files if file.stat().st_size >= size], [
        file for file in files if file.stat().st_size < size
    ]


def largest_first(directory: Path) -> list[Path]:
    files = (file for file in directory.rglob("test_*.py") if "node_modules" not in file.parts)
    return sorted(files, key=lambda file: -file.stat().st_size)


class WaitingGroups:
    """Groups that have not started yet. A group that starts browsers waits while ``BROWSER_GROUPS`` of them run, and
    groups behind it go first."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._waiting = list(groups)
        self._browsers = 0
        self._changed = threading.Condition()

    def run_next(self) -> GroupResult:
        """Take a group that may start, wait for one if need be, and run it. Called once for each group."""
        with self._changed:
            while (group := self._startable()) is None:
                self._changed.wait()
            self._waiting.remove(group)
            self._browsers += group.starts_browsers
        try:
            return group.run()
        finally:
            with self._changed:
                self._browsers -= group.starts_browsers
                self._changed.notify_all()

    def _startable(self) -> Group | None:
        is_free = self._browsers < BROWSER_GROUPS
        return next((group for group in self._waiting if is_free or not group.starts_browsers), None)


def results(groups: Sequence[Group]) -> Iterator[GroupResult]:
    waiting = WaitingGroups(groups)
    with ThreadPoolExecutor((os.cpu_count() or 1) + EXTRA_GROUPS) as pool:
        for future in as_completed([pool.submit(waiting.run_next) for _ in groups]):
            yield future.result()


def last_groups() -> list[Group]:
    return [Group([TESTS / "process" / name]) for name in ALONE]


def everything() -> Iterator[GroupResult]:
    yield from results([*fast_groups(), *other_groups()])
    for group in last_groups():
        yield group.run()


def report(finished: Iterator[GroupResult]) -> int:
    """Print each result as it arrives and a summary; returns the exit code.

    A few tests that failed while other groups ran beside them are run once more at the end, by themselves. Those that
    pass then are reported as unstable: their cause is to be found, but they do not fail the run.
    """
    total: Counter[str] = Counter()
    failed: list[GroupResult] = []
    skips: list[str] = []
    for result in finished:
        total += result.counts
        skips += result.skips
        shown = ", ".join(f"{count} {kind}" for kind, count in result.counts.items())
        print(f"{result.name}: {shown} in {result.seconds:.0f} s", flush=True)
        if not result.passed:
            failed.append(result)
            print(result.output, flush=True)
    print(*skips, sep="\n")
    for result in [result for result in failed if result.may_be_repeated]:
        again = result.group.repeat_failed()
        if again.passed and again.counts["passed"] == result.counts["failed"] + result.counts["error"]:
            failed.remove(result)
            total.subtract({"failed": result.counts["failed"], "error": result.counts["error"]})
            total["passed"] += again.counts["passed"]
            print(f"unstable: {again.counts['passed']} of {result.name} failed beside others and passed alone")
        else:
            print(again.output, flush=True)
    for result in failed:
        print(f"failed: {result.name} (pytest's exit code {result.exit_code})")
    bad = total["failed"] + total["error"] or len(failed)
    print(f"{total['passed']} passed, {bad} failed, {total['skipped']} skipped")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="only tests that are fast and need no service")
    return report(results(fast_groups()) if parser.parse_args().fast else everything())


if __name__ == "__main__":
    sys.exit(main())
