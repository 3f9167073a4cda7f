"""Progress inside a transfer or a step: state that is sent to live streams and stored in no event (http-api section
6)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from windlass.database.ownership import owned_by
from windlass.events.api import Event
from windlass.files.api import FileAsset, FileStatus, UploadSession, UploadStatus
from windlass.http.file_records import file_progress
from windlass.http.upload_status import percentage
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.owners import EVERY_OWNER, NO_OWNERS, Owners

#: Files, and uploads, of which one read returns progress: the newest.
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class Topic:
    """What a stream follows: one file, one upload, or all of these owners."""

    owners: Owners = EVERY_OWNER
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None

    def matches(self, news: Event | Progress) -> bool:
        return (
            news.owner in self.owners
            and (self.file_id is None or news.file_id == self.file_id)
            and (self.upload_id is None or news.upload_id == self.upload_id)
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of one file or upload. ``mark`` only rises: percent of a file's run, bytes of an upload."""

    owner: str
    mark: int
    message: str
    data: dict[str, Any]
    file_id: uuid.UUID | None = None
    upload_id: uuid.UUID | None = None

    @property
    def subject_id(self) -> uuid.UUID:
        subject = self.file_id or self.upload_id
        assert subject is not None
        return subject

    def is_ahead_of(self, mark: int, message: str) -> bool:
        return self.mark > mark or (self.mark == mark and self.message not in ("", message))

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
class SentProgress:
    """The progress that one stream has sent of each file and upload, so that no reader sees it fall."""

    marks: dict[uuid.UUID, tuple[int, str]] = field(default_factory=dict)

    def record(self, event: Event) -> None:
        """An event was sent that has a progress of its own. It may begin a new run at 0."""
        if event.file_id and "progress" in event.data:
            self.marks[event.file_id] = (event.data["progress"], event.data.get("message", ""))

    def advance(self, current: Sequence[Progress]) -> list[Progress]:
        """Those that are ahead of what was sent, or equal with a new message. What is not in ``current`` is
        forgotten."""
        before = self.marks
        new = [each for each in current if each.is_ahead_of(*before.get(each.subject_id, (-1, "")))]
        self.marks = {each.subject_id: before[each.subject_id] for each in current if each.subject_id in before}
        self.marks |= {each.subject_id: (each.mark, each.message) for each in new}
        return new


def progress_under_way(topics: Sequence[Topic]) -> list[Progress]:
    """Progress of everything under way in these topics: one query for files, one for uploads. Blocks."""
    return [*_of_files(topics), *_of_uploads(topics)]


def _of_files(topics: Sequence[Topic]) -> Iterator[Progress]:
    condition = _condition(topics, {topic.file_id for topic in topics if topic.file_id})
    running = FileAsset.present.filter(condition, status=FileStatus.PROCESSING).order_by("-created_at", "-id")
    for asset in running.only("id", "owner", "status", "progress", "stage", "message")[:MAX_ROWS]:
        percent = file_progress(asset)
        data = {"progress": percent, "message": asset.message, "stage": asset.stage}
        yield Progress(asset.owner, percent, asset.message, data, file_id=asset.id)


def _of_uploads(topics: Sequence[Topic]) -> Iterator[Progress]:
    condition = _condition(topics, {topic.upload_id for topic in topics if topic.upload_id})
    running = UploadSession.objects.filter(condition, status=UploadStatus.ACTIVE).order_by("-created_at")
    for session in running.only("id", "owner", "status", "offset", "size")[:MAX_ROWS]:
        data = {"progress": percentage(session), "bytes_received": session.offset, "size": session.size}
        yield Progress(session.owner, session.offset, "", data, upload_id=session.id)


def _condition(topics: Sequence[Topic], ids: set[uuid.UUID]) -> Q:
    """The condition for what these topics follow. Where they follow none of this kind, Django sends no query."""
    owners = (topic.owners for topic in topics if not (topic.file_id or topic.upload_id))
    return Q(id__in=ids) | owned_by(reduce(or_, owners, NO_OWNERS))
