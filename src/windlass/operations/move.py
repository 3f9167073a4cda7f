"""Move stored objects to another store while the server runs: ``windlass move``, and for programs.

Each object is copied and its SHA-256 compared with its record's; only then one conditional UPDATE names the copy.
However a run ends, and whatever runs beside it, each object stays complete where its row says that it is.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import structlog
from django.db import close_old_connections

from windlass import conf
from windlass.database.connection import atomic
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.clock import monotonic
from windlass.kernel.ids import new_id
from windlass.kernel.object_keys import object_key, rendition_key
from windlass.operations.throttle import Stopped, Throttle
from windlass.receiving import disk_space
from windlass.storage.contract import ObjectMissing, Store, StoreError, StoreFull
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

Selection = files.MoveSelection

#: How long the old object is retained, for readers that have just read its key (seconds).
GRACE_SECONDS = 3600.0
#: How long an unfinished copy is retained, and how often its mover extends that (seconds).
COPY_SECONDS, RENEW_SECONDS = 3600.0, 300.0
#: Consecutive transient store errors that end the run.
MAX_STORE_ERRORS = 3
#: Failures that the report describes; further ones are only counted.
MAX_DESCRIBED = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that was not moved, and why. ``file_id``: a file that it belongs to."""

    file_id: str
    what: str
    reason: str


@dataclass(slots=True)
class Report:
    """The result of a run. ``skipped``: objects in processing or changed meanwhile, which another run moves.
    ``stopped``: why the run ended early."""

    files: int = 0
    renditions: int = 0
    bytes: int = 0
    skipped: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""


#: Called with each failure.
OnFailure = Callable[[Failure], None]
#: Called with the size of each copied block; may wait, and may raise Stopped.
OnBlock = Callable[[int], None]

#: Bytes that are copied at a time.
BLOCK_SIZE = conf.MB
#: An object up to this size is stored by ``Store.put``.
PUT_LIMIT = conf.MB


class SourceDamaged(Exception):
    """The object does not match its record, or cannot be read."""


def move(
    selection: Selection,
    *,
    bytes_per_second: float = 0,
    grace_seconds: float = GRACE_SECONDS,
    stop: threading.Event | None = None,
    on_failure: OnFailure = lambda failure: None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """Move the selected objects one after the other until ``stop`` is set. Raises StoreError if the target cannot be
    written.

    ``on_progress`` is called with the number of bytes copied since its last call.
    """
    target = store(selection.to)
    target.check()
    throttle = Throttle(bytes_per_second, stop or threading.Event())

    def on_block(count: int) -> None:
        if count:
            on_progress(count)
        throttle.wait(count)

    return _MoveRun(target, grace_seconds, on_block, on_failure).run(selection)


class _MoveRun:
    """One run over a selection."""

    def __init__(self, target: Store, grace_seconds: float, on_block: OnBlock, on_failure: OnFailure) -> None:
        self._target, self._grace, self._on_block, self._on_failure = target, grace_seconds, on_block, on_failure
        self._report = Report()
        self._store_errors = 0

    def run(self, selection: Selection) -> Report:
        for source in files.objects_to_move(selection):
            self._try_move(source)
            if self._report.stopped:
                break
        return self._report

    def _try_move(self, source: files.Movable) -> None:
        try:
            self._move(source)
        except Stopped:
            self._report.stopped = "It was asked to stop."
        except files.MoveConflict:
            self._report.skipped += 1
        except (SourceDamaged, StoreError) as error:
            self._failed(source, error)
        else:
            self._store_errors = 0
            self._report.files += source.is_file
            self._report.renditions += not source.is_file
            self._report.bytes += source.size

    def _move(self, source: files.Movable) -> None:
        self._on_block(0)
        if files.is_in_processing(source) or jobs.any_open(source.file_ids):
            raise files.MoveConflict
        if not disk_space.has_space_for(self._target.name, source.size):
            raise StoreFull("the disk of the target would be left with less than DISK_RESERVE_MB")
        copy = _RetainedCopy(self._target, source)
        try:
            copy.write(self._on_block)
            close_old_connections()  # copying may take longer than a connection may live
            with atomic():
                if jobs.any_open(source.file_ids):
                    raise files.MoveConflict
                files.record_move(source, copy.retention, keep_seconds=self._grace)
        except BaseException:
            copy.discard()
            raise

    def _failed(self, source: files.Movable, error: Exception) -> None:
        failure = Failure(
            str(source.file_ids[0]) if source.file_ids else str(source.id),
            "file" if source.is_file else "rendition",
            " ".join(str(error).split()),
        )
        log.warning("move.failed", store=source.store, key=source.key, reason=failure.reason)
        self._report.failed += 1
        if len(self._report.failures) < MAX_DESCRIBED:
            self._report.failures.append(failure)
        self._on_failure(failure)
        self._store_errors = self._store_errors + 1 if isinstance(error, StoreError) and error.transient else 0
        if isinstance(error, StoreFull):
            self._report.stopped = "There is no room left."
        elif self._store_errors >= MAX_STORE_ERRORS:
            self._report.stopped = "A store is unavailable."


class _RetainedCopy:
    """A copy under a new key, retained while it is written. So concurrent movers never write the same object, and the
    key of an old object is not reused while it is retained."""

    def __init__(self, target: Store, source: files.Movable) -> None:
        self._target, self._source = target, source
        key = object_key(new_id()) if source.is_file else rendition_key(source.file_ids[0], str(new_id()))
        self.retention = files.retain_object(target.name, key, source.size, seconds=COPY_SECONDS)
        self._extended_at = monotonic()

    def write(self, on_block: OnBlock) -> None:
        """Raises SourceDamaged, MoveConflict, Stopped, StoreError."""
        source = self._source
        try:
            stored = store(source.store).open(source.key)
        except ObjectMissing as error:
            if not files.is_unmoved(source):
                raise files.MoveConflict from error
            raise SourceDamaged(f"its bytes are not in the store {source.store}") from error

        def on_copied(count: int) -> None:
            on_block(count)
            self._extend_retention()

        with stored:
            sha256 = copy_object(stored, source.size, self._target, self.retention.key, on_copied)
        if source.sha256 is not None and sha256 != source.sha256:
            raise SourceDamaged(f"its bytes have the SHA-256 {sha256}, and its record says {source.sha256}")
        if self._target.info(self.retention.key).size != source.size:
            raise StoreError(f"{self.retention.key}: the copy has another size")

    def discard(self) -> None:
        """Delete the copy; what cannot be deleted is left to the sweep."""
        with suppress(StoreError):
            self._target.clear(self.retention.key)
            self._target.delete(self.retention.key)
            files.end_retention(self.retention)

    def _extend_retention(self) -> None:
        """Raises MoveConflict if the retention has expired."""
        if monotonic() - self._extended_at < RENEW_SECONDS:
            return
        close_old_connections()
        if not files.extend_retention(self.retention, seconds=COPY_SECONDS):
            raise files.MoveConflict
        self._extended_at = monotonic()


def copy_object(source: BinaryIO, size: int, target: Store, key: str, on_block: OnBlock) -> str:
    """Copy ``size`` bytes of ``source`` durably to ``key`` of ``target``, block by block; return their SHA-256.

    Raises SourceDamaged if there are fewer or more bytes, StoreError, and what ``on_block`` raises. After an error part
    of the copy may exist.
    """
    digest = hashlib.sha256()
    blocks = _read_blocks(source, size, digest.update, on_block)
    if size <= PUT_LIMIT:
        target.put(key, io.BytesIO(b"".join(blocks)), size)
    else:
        _write(target, key, size, blocks)
    return digest.hexdigest()


def _read_blocks(source: BinaryIO, size: int, update: Callable[[bytes], None], on_block: OnBlock) -> Iterator[bytes]:
    left = size
    while block := _read(source, min(BLOCK_SIZE, left) or 1):
        left -= len(block)
        if left < 0:
            raise SourceDamaged(f"it is longer than the {size} bytes of its record")
        update(block)
        yield block
        on_block(len(block))
    if left:
        raise SourceDamaged(f"it ends after {size - left} of {size} bytes")


def _read(source: BinaryIO, size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise SourceDamaged(f"it cannot be read: {error.strerror or error}") from error


def _write(target: Store, key: str, size: int, blocks: Iterator[bytes]) -> None:
    state = target.create(key, durable=True, at_most=size)
    writer, offset = target.open_writer(key, state), 0
    try:
        for block in blocks:
            offset += writer.write(offset, [block])
        writer.finish(size)
    finally:
        writer.close()
