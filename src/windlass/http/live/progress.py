"""Progress inside a transfer or a step: state that is told while it lasts and kept nowhere (http-api section 6)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from windlass.events.api import Event
from windlass.files.api import FileAsset, FileStatus, UploadSession, UploadStatus
from windlass.http.file_records import percentage, shown_progress
from windlass.kernel.clock import now, rfc3339

#: Things under way that one look tells of. Whoever follows everything on a busy server sees the newest.
MOST = 500


@dataclass(frozen=True, slots=True)
class Topic:
    """What a stream follows: one file, one upload, or all of an owner (None: everybody's, for staff)."""

    owner: str | None = None
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None

    @property
    def wide(self) -> bool:
        return self.file_id is None and self.upload_id is None

    def concerns(self, told: Event | Progress) -> bool:
        return (
            (self.owner is None or told.owner == self.owner)
            and (self.file_id is None or told.file_id == self.file_id)
            and (self.upload_id is None or told.upload_id == self.upload_id)
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one thing is. ``mark`` only rises: percent of a file's run, bytes of an upload."""

    owner: str
    mark: int
    message: str
    data: dict[str, Any]
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None

    @property
    def thing(self) -> uuid.UUID:
        found = self.file_id or self.upload_id
        assert found is not None
        return found

    def document(self) -> dict[str, Any]:
        return {
            "id": None,
            "type": "file.progress" if self.file_id else "upload.progress",
            "file_id": str(self.file_id) if self.file_id else None,
            "upload_id": str(self.upload_id) if self.upload_id else None,
            "at": rfc3339(now()),
            "data": self.data,
        }


@dataclass(slots=True)
class Shown:
    """What one stream has told of each thing, so that no reader sees progress fall."""

    marks: dict[uuid.UUID, tuple[int, str]] = field(default_factory=dict)

    def journal(self, event: Event) -> None:
        """A journal event told a progress of its own; it may begin a new run, and start again from nothing."""
        if event.file_id and "progress" in event.data:
            self.marks[event.file_id] = (event.data["progress"], event.data.get("message", ""))

    def risen(self, running: Sequence[Progress]) -> list[Progress]:
        """Those that are further than was told, or as far with something new to say. What ended is forgotten."""
        before = self.marks
        found = [each for each in running if _is_news(each, *before.get(each.thing, (-1, "")))]
        self.marks = {each.thing: before[each.thing] for each in running if each.thing in before}
        self.marks |= {each.thing: (each.mark, each.message) for each in found}
        return found


def _is_news(each: Progress, mark: int, message: str) -> bool:
    return each.mark > mark or (each.mark == mark and each.message not in ("", message))


def under_way(topics: Sequence[Topic]) -> list[Progress]:
    """Progress of everything under way that somebody follows: one query for files, one for uploads. Blocks."""
    return [*_files(topics), *_uploads(topics)]


def _files(topics: Sequence[Topic]) -> Iterator[Progress]:
    wanted = _wanted(topics, {topic.file_id for topic in topics if topic.file_id})
    if wanted is None:
        return
    running = FileAsset.present.filter(wanted, status=FileStatus.PROCESSING).order_by("-created_at", "-id")
    for asset in running.only("id", "owner", "status", "progress", "stage", "message")[:MOST]:
        percent = shown_progress(asset)
        data = {"progress": percent, "message": asset.message, "stage": asset.stage}
        yield Progress(asset.owner, percent, asset.message, data, file_id=asset.id)


def _uploads(topics: Sequence[Topic]) -> Iterator[Progress]:
    wanted = _wanted(topics, {topic.upload_id for topic in topics if topic.upload_id})
    if wanted is None:
        return
    running = UploadSession.objects.filter(wanted, status=UploadStatus.ACTIVE).order_by("-created_at")
    for session in running.only("id", "owner", "status", "offset", "size")[:MOST]:
        data = {"progress": percentage(session), "bytes_received": session.offset, "size": session.size}
        yield Progress(session.owner, session.offset, "", data, upload_id=session.id)


def _wanted(topics: Sequence[Topic], ids: set[uuid.UUID]) -> Q | None:
    """The condition for what these topics follow; None where they follow none of this kind."""
    owners = {topic.owner for topic in topics if topic.wide}
    if None in owners:
        return Q()
    if not owners and not ids:
        return None
    return Q(id__in=ids) | Q(owner__in=owners)
