"""Moves stored objects to another store while the server runs: ``windlass move``, and for programs.

Each object is copied, its SHA-256 compared with its record's, and only then does one conditional UPDATE say that it
lies elsewhere. Whatever ends a run, or runs beside it, leaves each object whole where its row says that it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from django.db import close_old_connections

from windlass.database.connection import atomic
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic
from windlass.kernel.ids import new_id
from windlass.operations.copying import SourceDamaged, copy
from windlass.operations.pace import Pace, Stopped
from windlass.receiving import disk_space
from windlass.receiving.admission import object_key
from windlass.storage.contract import ObjectMissing, Store, StoreError, StoreFull
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

Selection = files.MoveSelection

#: How long the old place of an object stays, for whoever learned of it a moment ago (seconds).
GRACE_SECONDS = 3600.0
#: For how long the sweep leaves a copy alone whose maker says nothing more, and how often that is said again.
COPY_SECONDS, RENEW_SECONDS = 3600.0, 300.0
#: So many objects in a row that cannot be moved because a store is away end the run.
MOST_AWAY = 3
#: Failures that are described; the others are counted.
MOST_DESCRIBED = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that was left where it is, and why. ``file_id`` is a file that it belongs to."""

    file_id: str
    what: str
    reason: str


@dataclass(slots=True)
class Report:
    """What a run did. ``skipped``: being worked on, or changed meanwhile; another run moves them. ``stopped``: why the
    run ended before its end."""

    files: int = 0
    renditions: int = 0
    bytes: int = 0
    skipped: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""


#: Told of each failure as it happens, and of the bytes that are done with.
Told = Callable[[Failure], None]
Gone = Callable[[int], None]
#: Called after each block with its size; may wait, and may raise Stopped.
Took = Callable[[int], None]


def move(
    selection: Selection,
    *,
    bytes_per_second: float = 0,
    grace_seconds: float = GRACE_SECONDS,
    stop: threading.Event | None = None,
    told: Told = lambda failure: None,
    gone: Gone = lambda count: None,
) -> Report:
    """Move what is selected, one object after the other, until ``stop`` is set. Raises StoreError where the target
    cannot be written."""
    target = store(selection.to)
    target.check()
    pace = Pace(bytes_per_second, stop or threading.Event())

    def took(count: int) -> None:
        if count:
            gone(count)
        pace.took(count)

    return _Moving(target, grace_seconds, took, told).run(selection)


class _Moving:
    """One run."""

    def __init__(self, target: Store, grace_seconds: float, took: Took, told: Told) -> None:
        self._target, self._grace, self._took, self._told = target, grace_seconds, took, told
        self._report = Report()
        self._away = 0

    def run(self, selection: Selection) -> Report:
        for thing in files.objects_to_move(selection):
            self._take(thing)
            if self._report.stopped:
                break
        return self._report

    def _take(self, thing: files.Movable) -> None:
        try:
            self._move(thing)
        except Stopped:
            self._report.stopped = "It was asked to stop."
        except files.MoveConflict:
            self._report.skipped += 1
        except (SourceDamaged, StoreError) as error:
            self._failed(thing, error)
        else:
            self._away = 0
            self._report.files += thing.is_file
            self._report.renditions += not thing.is_file
            self._report.bytes += thing.size

    def _move(self, thing: files.Movable) -> None:
        self._took(0)
        if files.is_in_processing(thing) or jobs.any_open(thing.file_ids):
            raise files.MoveConflict
        if not disk_space.has_space_for(self._target.name, thing.size):
            raise StoreFull("the disk of the target would be left with less than DISK_RESERVE_MB")
        making = _Making(self._target, thing)
        try:
            making.copy(self._took)
            close_old_connections()  # a copy may have taken longer than a connection lives
            with atomic():
                if jobs.any_open(thing.file_ids):
                    raise files.MoveConflict
                files.record_move(thing, making.spare, keep_seconds=self._grace)
        except BaseException:
            making.discard()
            raise

    def _failed(self, thing: files.Movable, error: Exception) -> None:
        failure = Failure(
            str(thing.file_ids[0]) if thing.file_ids else str(thing.id),
            "file" if thing.is_file else "rendition",
            " ".join(str(error).split()),
        )
        log.warning("move.failed", store=thing.store, key=thing.key, reason=failure.reason)
        self._report.failed += 1
        if len(self._report.failures) < MOST_DESCRIBED:
            self._report.failures.append(failure)
        self._told(failure)
        self._away = self._away + 1 if isinstance(error, StoreError) and error.transient else 0
        if isinstance(error, StoreFull):
            self._report.stopped = "There is no room left."
        elif self._away >= MOST_AWAY:
            self._report.stopped = "A store is away."


class _Making:
    """A copy that is being made, under a key that was never used before: of two movers at once neither writes into the
    other's, and a place that was left is not taken again while it still stays."""

    def __init__(self, target: Store, thing: files.Movable) -> None:
        self._target, self._thing = target, thing
        key = object_key(new_id()) if thing.is_file else f"renditions/{thing.file_ids[0]}/{new_id()}"
        self.spare = files.retain_object(target.name, key, thing.size, seconds=COPY_SECONDS)
        self._kept_at = monotonic()

    def copy(self, told: Took) -> None:
        """Raises SourceDamaged, Overtaken, Stopped, StoreError."""
        thing = self._thing
        try:
            source = store(thing.store).open(thing.key)
        except ObjectMissing as error:
            if not files.is_unmoved(thing):
                raise files.MoveConflict from error
            raise SourceDamaged(f"its bytes are not in the store {thing.store}") from error

        def took(count: int) -> None:
            told(count)
            self._keep()

        with source:
            sha256 = copy(source, thing.size, self._target, self.spare.key, took)
        if thing.sha256 is not None and sha256 != thing.sha256:
            raise SourceDamaged(f"its bytes have the SHA-256 {sha256}, and its record says {thing.sha256}")
        if self._target.info(self.spare.key).size != thing.size:
            raise StoreError(f"{self.spare.key}: the copy has another size")

    def discard(self) -> None:
        """What cannot be deleted now, the sweep finds."""
        with suppress(StoreError):
            self._target.clear(self.spare.key)
            self._target.delete(self.spare.key)
            files.end_retention(self.spare)

    def _keep(self) -> None:
        """Raises Overtaken where this copy was given up meanwhile."""
        if monotonic() - self._kept_at < RENEW_SECONDS:
            return
        close_old_connections()
        kept = files.extend_retention(self.spare, seconds=COPY_SECONDS)
        if kept is None:
            raise files.MoveConflict
        self.spare, self._kept_at = kept, monotonic()
