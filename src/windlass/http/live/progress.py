"""Progress inside a transfer or a step: state that is sent to live streams and stored in no event (http-api section
6)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q

from windlass.database.ownership import owned_by
from windlass.events.api import Event
from windlass.files.api import FileAsset, FileStatus, UploadSession, UploadStatus
from windlass.http.file_records import file_progress
from windlass.http.live.topics import Topic
from windlass.http.upload_status import percentage
from windlass.kernel.clock import now, rfc3339
from windlass.kernel.owners import NO_OWNERS, Owners

#: Files, and uploads, of which one query returns progress: the newest.
MAX_ROWS = 500
#: Ids in one query, at most: as many as the rows it may return.
MAX_IDS = MAX_ROWS


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


def progress_under_way(topics: Collection[Topic]) -> list[Progress]:
    """Progress of everything under way in these topics: one query for files and one for uploads, where few are
    followed. Blocks."""
    file_ids = [topic.file_id for topic in topics if topic.file_id]
    upload_ids = [topic.upload_id for topic in topics if topic.upload_id]
    owners = reduce(or_, (topic.owners for topic in topics if not topic.is_one_thing), NO_OWNERS)
    return [
        *(each for condition in _conditions(owners, file_ids) for each in _of_files(condition)),
        *(each for condition in _conditions(owners, upload_ids) for each in _of_uploads(condition)),
    ]


def _conditions(owners: Owners, ids: list[uuid.UUID]) -> Iterator[Q]:
    """Conditions for what is followed, each row in one of them only; none where nothing of this kind is."""
    if owners != NO_OWNERS:
        yield owned_by(owners)
    for first in range(0, len(ids), MAX_IDS):
        yield Q(id__in=ids[first : first + MAX_IDS]) & owned_by(~owners)


def _of_files(condition: Q) -> Iterator[Progress]:
    running = FileAsset.present.filter(condition, status=FileStatus.PROCESSING).order_by("-created_at", "-id")
    for asset in running.only("id", "owner", "status", "progress", "stage", "message")[:MAX_ROWS]:
        percent = file_progress(asset)
        data = {"progress": percent, "message": asset.message, "stage": asset.stage}
        yield Progress(asset.owner, percent, asset.message, data, file_id=asset.id)


def _of_uploads(condition: Q) -> Iterator[Progress]:
    running = UploadSession.objects.filter(condition, status=UploadStatus.ACTIVE).order_by("-created_at")
    for session in running.only("id", "owner", "status", "offset", "size")[:MAX_ROWS]:
        data = {"progress": percentage(session), "bytes_received": session.offset, "size": session.size}
        yield Progress(session.owner, session.offset, "", data, upload_id=session.id)
