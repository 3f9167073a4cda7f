"""Counters in files: sums over processes, running and ended, that never fall."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from windlass.kernel import counter_files, instruments
from windlass.kernel.instruments import NAMES, OTHER, Counter, Histogram

#: A process that counts 1 and 2.5, raises a gauge, says so, and waits until its input ends.
PROGRAM = """
import sys
from pathlib import Path
from windlass.kernel import instruments
from windlass.kernel.instruments import Counter, Gauge
counter, gauge = Counter("test_bytes", "", {"kind": ("a", "b")}), Gauge("test_readers", "")
counter.add(1, "a")  # before the file exists
instruments.share(Path(sys.argv[1]), "test")
counter.add(2.5, "b")
gauge.add(4)
print("ready", flush=True)
sys.stdin.read()
"""
A, B, READERS = "c\x1ftest_bytes\x1fa\x1f", "c\x1ftest_bytes\x1fb\x1f", "g\x1ftest_readers\x1f"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    started = []

    def start_process() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "counters")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def anew() -> Iterator[None]:
    """Forget the instruments that the test declares."""
    before = list(instruments._instruments)
    yield
    instruments._instruments[:] = before


@pytest.mark.slow
def test_totals_count_every_process_once_and_never_fall(tmp_path: Path, start: object) -> None:
    directory = tmp_path / "counters"
    first, second = start(), start()  # type: ignore[operator]
    assert counter_files.read_totals(directory) == {A: 2, B: 5, READERS: 8}
    first.send_signal(signal.SIGKILL)
    first.wait()
    for _ in range(2):  # the first reading adds the ended process up, the second finds it so
        assert counter_files.read_totals(directory) == {A: 2, B: 5} | {READERS: 4}
    assert len(list(directory.glob("*.counters"))) == 1
    second.communicate()
    start()  # type: ignore[operator]
    assert counter_files.read_totals(directory) == {A: 3, B: 7.5, READERS: 4}
    assert len(list(directory.glob("*.counters"))) == 1


@pytest.mark.slow
def test_a_crash_while_adding_up_neither_loses_nor_repeats_anything(
    tmp_path: Path, start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "counters"
    for _ in range(2):
        start().communicate()  # type: ignore[operator]
    unlink = Path.unlink

    def crash(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", crash)
    with pytest.raises(KeyboardInterrupt):
        counter_files.read_totals(directory)
    assert list(directory.glob("*.counters"))  # not deleted
    monkeypatch.setattr(Path, "unlink", unlink)
    for _ in range(2):
        assert counter_files.read_totals(directory) == {A: 2, B: 5}
    assert not list(directory.glob("*.counters"))
    assert json.loads((directory / "ended.json").read_text())["totals"] == {A: 2, B: 5}


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    file = counter_files.create_counter_file(tmp_path, "test")
    for number in range(counter_files.SEGMENT_SLOTS + 2):
        cells, index = file.allocate(f"c{number}")
        cells[index] = number
    assert counter_files.read_totals(tmp_path) == {f"c{n}": n for n in range(counter_files.SEGMENT_SLOTS + 2)}
    assert file.path.stat().st_blocks * 512 >= 2 * counter_files.SEGMENT_SLOTS * counter_files.SLOT  # without holes


def test_a_key_that_is_too_long_is_refused(tmp_path: Path) -> None:
    file = counter_files.create_counter_file(tmp_path, "test")
    with pytest.raises(ValueError, match="248 bytes"):
        file.allocate("x" * 249)


def test_half_a_file_of_ended_processes_does_not_prevent_reading(tmp_path: Path) -> None:
    (tmp_path / counter_files.ENDED).write_text('{"files": [')
    assert counter_files.read_totals(tmp_path) == {}


@pytest.mark.usefixtures("anew")
def test_labels_are_bounded() -> None:
    counter = Counter("test_bounded", "", {"kind": ("a",), "name": NAMES})
    for name in ("x", "y"):
        counter.add(1, name, "step")
    counter.add(1, "a", "é" * 100)
    counter.add(1, "a", "é" * 101)
    assert instruments.report()[counter] == {(OTHER, "step"): [2], ("a", "é" * 30): [2]}


@pytest.mark.usefixtures("anew")
def test_a_histogram_counts_by_bucket_and_sums() -> None:
    histogram = Histogram("test_sizes", "", bounds=(1, 10))
    assert instruments.report()[histogram] == {(): [0, 0, 0, 0]}
    for value in (0.5, 1, 1.5, 11):
        histogram.observe(value)
    assert instruments.report()[histogram] == {(): [2, 1, 1, 14]}


@pytest.mark.usefixtures("anew")
def test_threads_lose_no_count() -> None:
    counter = Counter("test_threads", "")
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [counter.add(1) for _ in range(5000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert counter.value() == 40_000


@pytest.mark.slow
def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from windlass.kernel import instruments
from windlass.kernel.instruments import Counter
counter = Counter("test_forked", "")
instruments.share(Path(sys.argv[1]), "test")
counter.add(1)
if not (child := os.fork()):
    counter.add(10)
    assert len(list(Path(sys.argv[1]).glob("*.counters"))) == 2
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
counter.add(100)
assert instruments.report()[counter] == {(): [111]}
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(tmp_path)], check=True)
