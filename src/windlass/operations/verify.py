"""Reads what is stored and compares it with what was received: ``windlass verify``, and the scheduler by itself.

The bytes themselves are read and hashed, also those of an object store: the checksum that a store keeps says what the
store believes, and it is the store that is doubted here. Nothing is held but one block.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Protocol

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
from windlass.operations.pace import Pace, Stopped
from windlass.operations.reading import Unread, answers, judge, judge_rendition
from windlass.storage.contract import StoreUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Damaged:
    """``rendition``: its name, where it is something made of a file."""

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
    """``unread``: objects that could not be read, of stores that were away for instance; nothing is known of them."""

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


class Listener(Protocol):
    """Told of bytes as they are read, of each damage as it is found, and of what could not be read."""

    def read(self, size: int) -> None: ...

    def damaged(self, found: Damaged) -> None: ...

    def unread(self, blob: Blob, reason: str) -> None: ...


class Logging:
    """For a process whose log somebody reads."""

    def read(self, size: int) -> None:
        """Too often to be told."""

    def damaged(self, found: Damaged) -> None:
        said = found.document()
        log.error("verify.damaged", **{name: said[name] for name in ("store", "key", "kind", "detail", "files")})

    def unread(self, blob: Blob, reason: str) -> None:
        log.warning("verify.unread", store=blob.store, key=blob.key, reason=reason)


class Verification:
    """One pass over a selection. ``dry_run``: what is found is told and not recorded."""

    def __init__(self, pace: Pace, listener: Listener, *, dry_run: bool = False) -> None:
        self.report = Report()
        self._pace, self._listener, self._dry_run = pace, listener, dry_run
        self._away: set[str] = set()

    def run(self, selection: VerifySelection) -> Report:
        """Several may run at once: those of a batch are taken in no order, and not again once another has read them."""
        try:
            for batch in blob_batches(selection):
                for blob in random.sample(batch, len(batch)):
                    self._pace.took(0)
                    self._next(selection, blob)
        except Stopped:
            self.report.stopped = True
        return self.report

    def _next(self, selection: VerifySelection, blob: Blob) -> None:
        if blob.store in self._away:
            self.report.unread += 1
            return
        close_old_connections()
        present = selection.blobs().filter(id=blob.id).first()
        if present is not None:
            self._one(present)

    def _one(self, blob: Blob) -> None:
        try:
            self._judge(blob)
            for made in renditions_of_blob(blob):
                self._look_at(made, blob)
        except (Unread, StoreUnavailable) as error:
            self.report.unread += 1
            self._listener.unread(blob, str(error))
            if not answers(blob.store):
                self._away.add(blob.store)

    def _judge(self, blob: Blob) -> None:
        """What looks damaged is read twice: it may have been deleted or moved meanwhile, or spoiled on its way here."""
        found = judge(blob, self._took)
        if isinstance(found, Finding):
            again = reload_blob(blob)
            if again is None:
                return
            blob, found = again, judge(again, self._took)
        self.report.objects += 1
        self.report.bytes += blob.size
        if isinstance(found, Finding):
            self._damaged(blob, found)
        else:
            self._sound(blob, found)

    def _sound(self, blob: Blob, sha256: str) -> None:
        self.report.digests += blob.sha256 is None
        if self._dry_run:
            return
        self.report.mended += record_intact(blob, sha256)

    def _damaged(self, blob: Blob, found: Finding) -> None:
        if not self._dry_run and not record_damage(blob, found):
            return
        self._tell(Damaged(blob.store, blob.key, found.kind, found.detail, blob.owner, files_of_blob(blob)))

    def _look_at(self, made: Rendition, blob: Blob) -> None:
        self.report.renditions += 1
        found = judge_rendition(made)
        if found is not None and is_unchanged(made):
            self._tell(Damaged(made.store, made.key, found.kind, found.detail, blob.owner, [made.file_id], made.name))

    def _took(self, size: int) -> None:
        self._listener.read(size)
        self._pace.took(size)

    def _tell(self, found: Damaged) -> None:
        self.report.damaged.append(found)
        self._listener.damaged(found)


def by_schedule(stop: threading.Event) -> Report:
    """What has not been looked at for VERIFY_EVERY_DAYS."""
    settings = conf.get()
    before = now() - timedelta(days=settings.verify_every_days)
    report = Verification(Pace(settings.verify_mb_per_second * conf.MB, stop), Logging()).run(VerifySelection(before))
    if report.objects or report.unread:
        log.info("verify.done", **report.document())
    return report
