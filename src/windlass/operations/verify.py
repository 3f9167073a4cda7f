"""Compare stored bytes with what was received: ``windlass verify``, and the scheduler regularly.

The bytes themselves are read and hashed, also those of an object store: a checksum that the store reports does not
prove what it stores. Memory: one block.
"""

from __future__ import annotations

import errno
import hashlib
import random
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO

import structlog
from django.db import close_old_connections

from windlass import conf
from windlass.files.api import (
    Blob,
    Damage,
    Finding,
    Rendition,
    VerifySelection,
    blob_batches,
    files_of_blob,
    is_unchanged,
    record_damage,
    record_intact,
    reload_blob,
    renditions_of_blob,
)
from windlass.kernel.clock import now
from windlass.operations.throttle import Stopped, Throttle
from windlass.storage.contract import ObjectMissing, StoreError, StoreUnavailable
from windlass.storage.posix_files import drop_from_page_cache
from windlass.storage.registry import store

log = structlog.get_logger(__name__)

#: Called with the size of each block that was read; may wait, and may raise Stopped.
OnBlock = Callable[[int], None]
_BLOCK_SIZE = conf.MB
#: Bytes that are read before they are dropped from the page cache.
_DROP_SIZE = 8 * conf.MB


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged object. ``rendition``: its name if the object is a rendition."""

    store: str
    key: str
    kind: Damage
    detail: str
    owner: str
    files: Sequence[uuid.UUID]
    rendition: str | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"kind": self.kind.value, "files": [str(each) for each in self.files]}


@dataclass(slots=True)
class Report:
    """The result of a run. ``unread``: objects that could not be read, whose condition is unknown."""

    objects: int = 0
    bytes: int = 0
    renditions: int = 0
    digests: int = 0
    mended: int = 0
    unread: int = 0
    stopped: bool = False
    damaged: list[Damaged] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"damaged": len(self.damaged)}


def _log_damaged(damaged: Damaged) -> None:
    document = damaged.document()
    log.error("verify.damaged", **{name: document[name] for name in ("store", "key", "kind", "detail", "files")})


def _log_unread(blob: Blob, reason: str) -> None:
    log.warning("verify.unread", store=blob.store, key=blob.key, reason=reason)


class Verification:
    """One pass over a selection. ``on_read`` is called with the size of each block; results are logged by default.

    ``dry_run``: report results without recording them.
    """

    def __init__(
        self,
        throttle: Throttle,
        *,
        on_read: OnBlock = lambda size: None,
        on_damaged: Callable[[Damaged], None] = _log_damaged,
        on_unread: Callable[[Blob, str], None] = _log_unread,
        dry_run: bool = False,
    ) -> None:
        self.report = Report()
        self._throttle, self._on_read, self._on_damaged, self._on_unread = throttle, on_read, on_damaged, on_unread
        self._dry_run = dry_run
        self._unusable: set[str] = set()

    def run(self, selection: VerifySelection) -> Report:
        """Verify the selected blobs. Several runs may work at once: each takes a batch in random order and skips what
        another has verified meanwhile."""
        try:
            for batch in blob_batches(selection):
                for blob in random.sample(batch, len(batch)):
                    self._throttle.wait(0)
                    self._verify_next(selection, blob)
        except Stopped:
            self.report.stopped = True
        return self.report

    def _verify_next(self, selection: VerifySelection, blob: Blob) -> None:
        if blob.store in self._unusable:
            self.report.unread += 1
            return
        close_old_connections()
        present = selection.blobs().filter(id=blob.id).first()
        if present is not None:
            self._verify_file(present)

    def _verify_file(self, blob: Blob) -> None:
        try:
            self._verify_blob(blob)
            for rendition in renditions_of_blob(blob):
                self._verify_rendition(rendition, blob)
        except (Unread, StoreUnavailable) as error:
            self.report.unread += 1
            self._on_unread(blob, str(error))
            if not is_usable(blob.store):
                self._unusable.add(blob.store)

    def _verify_blob(self, blob: Blob) -> None:
        """Read damaged bytes a second time: the object may have been deleted or moved, or damaged in transit."""
        result = verify_blob(blob, self._on_block)
        if isinstance(result, Finding):
            again = reload_blob(blob)
            if again is None:
                return
            blob, result = again, verify_blob(again, self._on_block)
        self.report.objects += 1
        self.report.bytes += blob.size
        if isinstance(result, Finding):
            if self._dry_run or record_damage(blob, result):
                files = files_of_blob(blob)
                self._report_damage(Damaged(blob.store, blob.key, result.kind, result.detail, blob.owner, files))
            return
        self.report.digests += blob.sha256 is None
        if not self._dry_run:
            self.report.mended += record_intact(blob, result)

    def _verify_rendition(self, rendition: Rendition, blob: Blob) -> None:
        self.report.renditions += 1
        finding = verify_rendition(rendition)
        if finding is not None and is_unchanged(rendition):
            kind, detail, files = finding.kind, finding.detail, [rendition.file_id]
            self._report_damage(
                Damaged(rendition.store, rendition.key, kind, detail, blob.owner, files, rendition.name)
            )

    def _on_block(self, size: int) -> None:
        self._on_read(size)
        self._throttle.wait(size)

    def _report_damage(self, damaged: Damaged) -> None:
        self.report.damaged.append(damaged)
        self._on_damaged(damaged)


def verify_due(stop: threading.Event) -> Report:
    """Verify what was not verified for VERIFY_EVERY_DAYS."""
    settings = conf.get()
    before = now() - timedelta(days=settings.verify_every_days)
    report = Verification(Throttle(settings.verify_mb_per_second * conf.MB, stop)).run(VerifySelection(before))
    if report.objects or report.unread:
        log.info("verify.done", **report.document())
    return report


class Unread(Exception):
    """The object could not be read now. That says nothing about its bytes."""


def verify_blob(blob: Blob, on_block: OnBlock) -> str | Finding:
    """Read the bytes; return their SHA-256, or how they differ from the row.

    Raises Unread, StoreUnavailable, and what ``on_block`` raises.
    """
    try:
        with store(blob.store).open(blob.key) as file:
            return _hash(file, blob, on_block)
    except ObjectMissing:
        return _missing(blob.store)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return _unreadable(blob.store, error)
    except OSError as error:
        if error.errno != errno.EIO:
            raise Unread(str(error)) from error
        return _unreadable(blob.store, error)


def verify_rendition(rendition: Rendition) -> Finding | None:
    """Compare the size with the row; renditions have no digest. Raises as ``verify_blob`` does."""
    try:
        size = store(rendition.store).info(rendition.key).size
    except ObjectMissing:
        return _missing(rendition.store)
    if size == rendition.size:
        return None
    return Finding(
        Damage.SHORT if size < rendition.size else Damage.LONG, f"{size} bytes are there, {rendition.size} were stored"
    )


def is_usable(name: str) -> bool:
    """Whether the store works as a whole."""
    try:
        store(name).check()
        return _holds_anything(name)
    except StoreError:
        return False


def _hash(file: BinaryIO, blob: Blob, on_block: OnBlock) -> str | Finding:
    digest, seen, dropped = hashlib.sha256(), 0, 0
    drop_from_page_cache(file)
    while block := file.read(_BLOCK_SIZE):
        digest.update(block)
        seen += len(block)
        if seen - dropped >= _DROP_SIZE:
            drop_from_page_cache(file, dropped, seen - dropped)
            dropped = seen
        on_block(len(block))
        if seen > blob.size:
            return Finding(Damage.LONG, f"more than {blob.size} bytes are there")
    drop_from_page_cache(file)
    if seen < blob.size:
        return Finding(Damage.SHORT, f"{seen} bytes of {blob.size} are there")
    if blob.sha256 is not None and digest.hexdigest() != blob.sha256:
        return Finding(Damage.CHANGED, f"SHA-256 {digest.hexdigest()}; it was {blob.sha256}")
    return digest.hexdigest()


def _unreadable(name: str, error: Exception) -> Finding:
    """Raises Unread if the store as a whole does not work, for example because it is no longer configured."""
    if not is_usable(name):
        raise Unread(str(error)) from error
    return Finding(Damage.UNREADABLE, str(error))


def _missing(name: str) -> Finding:
    """Raises Unread if the store is empty: then a disk is not mounted or it is another bucket, rather than every object
    lost at once."""
    if _holds_anything(name):
        return Finding(Damage.MISSING, "no such object")
    raise Unread("The store is empty. Is it the right one?")


def _holds_anything(name: str) -> bool:
    return next(store(name).objects(), None) is not None
