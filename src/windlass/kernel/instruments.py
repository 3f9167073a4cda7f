"""Counters, gauges and histograms of this process, which any thread may change in less than a microsecond.

Until ``share`` is called they are memory of this process; afterwards they are in its file in a directory that the
processes of one machine share (``counter_files``), so that each of them can report the sums. A forked child has a file
of its own.

Labels are bounded: each declares its values, and any other value counts as ``OTHER``; or its values are names of the
configuration (``NAMES``), such as steps.
"""

from __future__ import annotations

import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

from windlass.kernel.counter_files import GAUGE, CounterFile, create_counter_file, read_totals

#: The values of a label that are names of the configuration: few, and not chosen by clients.
NAMES: frozenset[str] = frozenset()
#: The value of a label for every value that it does not declare.
OTHER = "other"
#: Bytes of the longest name in a label.
LONGEST_NAME = 60
_SEPARATOR = "\x1f"

#: Upper bounds of buckets, in seconds, from a system call to a slow upload.
SHORT_TIMES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
LONG_TIMES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class _Series:
    """One value: where it is stored."""

    __slots__ = ("cells", "index", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.cells: array[float] | memoryview[float] = array("d", [0.0])
        self.index = 0


class Instrument:
    """What the three kinds share. ``name`` has its unit, and no ``_total``; ``labels``: label -> its values."""

    kind = ""
    #: The names of the values that each combination of labels has.
    parts: Sequence[str] = ("",)

    def __init__(self, name: str, doc: str, labels: Mapping[str, Iterable[str]] | None = None) -> None:
        self.name, self.doc = name, doc
        self.labels = {label: frozenset(values) for label, values in (labels or {}).items()}
        self._series: dict[tuple[str, ...], list[_Series]] = {}
        _instruments.append(self)

    def combinations(self) -> Iterable[tuple[str, ...]]:
        """The label values that are reported even if nothing was counted yet; none where a label has names."""
        return product(*(sorted(values) for values in self.labels.values()))

    def _values_of(self, labels: tuple[str, ...]) -> list[_Series]:
        found = self._series.get(labels)
        return self._find(labels) if found is None else found

    def _find(self, labels: tuple[str, ...]) -> list[_Series]:
        """The series of new label values, under their bounded names."""
        bounded = tuple(
            (value if value in values else OTHER) if values else _shortened(value)
            for value, values in zip(labels, self.labels.values(), strict=True)
        )
        with _lock:
            if bounded not in self._series:
                self._series[bounded] = [_new_series(_key(self, bounded, part)) for part in self.parts]
            if bounded == labels:
                return self._series[bounded]
        return self._series[bounded]  # not stored under what was given: that may be anything


class Counter(Instrument):
    """Only grows. Reported as ``<name>_total``."""

    kind = "c"

    def add(self, amount: float, *labels: str) -> None:
        [series] = self._values_of(labels)
        with _lock:
            series.cells[series.index] += amount

    def value(self, *labels: str) -> float:
        """What this process has counted."""
        [series] = self._values_of(labels)
        return series.cells[series.index]


class Gauge(Counter):
    """A value of now; those of running processes are added up. Reported as ``<name>``."""

    kind = GAUGE


class Histogram(Instrument):
    """Counts observations by size. ``bounds``: upper bounds of the buckets but the last, which has none."""

    kind = "c"

    def __init__(
        self,
        name: str,
        doc: str,
        labels: Mapping[str, Iterable[str]] | None = None,
        *,
        bounds: Sequence[float] = LONG_TIMES,
    ) -> None:
        super().__init__(name, doc, labels)
        self.bounds = tuple(bounds)
        self.parts = (*(str(number) for number in range(len(self.bounds) + 1)), "sum")

    def observe(self, value: float, *labels: str) -> None:
        series = self._values_of(labels)
        bucket, total = series[bisect_left(self.bounds, value)], series[-1]
        with _lock:
            bucket.cells[bucket.index] += 1
            total.cells[total.index] += value


#: All instruments, in the order of their declaration.
_instruments: list[Instrument] = []
_lock = threading.Lock()
_file: CounterFile | None = None
_directory: Path | None = None
_process = ""


def share(directory: Path, process: str) -> None:
    """Store the counters of this process in a file of ``directory`` from now on. Idempotent. Raises OSError.

    ``process``: its name, which becomes a part of the file's name.
    """
    global _file, _directory, _process
    with _lock:
        if _file is not None:
            return
        _file = create_counter_file(directory, process)
        _directory, _process = directory, process
        for instrument in _instruments:
            for several in instrument._series.values():
                for series in several:
                    _move(series)


def report() -> Mapping[Instrument, Mapping[tuple[str, ...], Sequence[float]]]:
    """Return label values -> values of every instrument, over all processes that share the directory.

    A counter and a gauge have one value; a histogram has the count of each bucket and, last, the sum of what was
    observed. Reads files.
    """
    found: dict[tuple[str, str], dict[tuple[str, ...], dict[str, float]]] = {}
    for key, value in _totals().items():
        kind, name, *labels, part = key.split(_SEPARATOR)
        found.setdefault((kind, name), {}).setdefault(tuple(labels), {})[part] = value
    return {each: _values(each, found.get((each.kind, each.name), {})) for each in _instruments}


def _totals() -> Mapping[str, float]:
    if _directory is not None:
        with suppress(OSError):  # the directory is gone: the values of this process still exist
            return read_totals(_directory)
    with _lock:
        several = [each for instrument in _instruments for found in instrument._series.values() for each in found]
        return {series.key: series.cells[series.index] for series in several}


def _values(
    instrument: Instrument, found: Mapping[tuple[str, ...], Mapping[str, float]]
) -> Mapping[tuple[str, ...], Sequence[float]]:
    """Of ``found``, which another version may have written, what has the labels that this instrument has."""
    reported = {labels for labels in found if len(labels) == len(instrument.labels)} | set(instrument.combinations())
    return {labels: [found.get(labels, {}).get(part, 0.0) for part in instrument.parts] for labels in sorted(reported)}


def _key(instrument: Instrument, labels: tuple[str, ...], part: str) -> str:
    return _SEPARATOR.join((instrument.kind, instrument.name, *labels, part))


def _shortened(name: str) -> str:
    return name.replace(_SEPARATOR, "").encode()[:LONGEST_NAME].decode(errors="ignore")


def _new_series(key: str) -> _Series:
    """The caller holds the lock."""
    series = _Series(key)
    _move(series)
    return series


def _move(series: _Series) -> None:
    """Move a value into the file, if there is one. Where that cannot grow, this process alone knows the value."""
    if _file is None:
        return
    value = series.cells[series.index]
    try:
        series.cells, series.index = _file.allocate(series.key)
    except OSError:
        return
    series.cells[series.index] = value


def _start_anew_in_child() -> None:
    """A forked child counts from zero, in a file of its own: the parent's values are the parent's."""
    global _lock, _file, _directory
    _lock = threading.Lock()
    for instrument in _instruments:
        instrument._series.clear()
    if _file is None or _directory is None:
        return
    _file.close()
    _file, directory, _directory = None, _directory, None
    try:
        share(directory, _process)
    except OSError:
        return  # it counts for itself alone


os.register_at_fork(after_in_child=_start_anew_in_child)
