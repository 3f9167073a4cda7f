"""Files whose time is over, by their profile or in the trash: first their bytes go, then their records."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from windlass.files.api import FileAsset, IllegalTransition, expired_files, files_to_release, lifecycle

#: Files that one sweep lets go; the next one goes on.
AT_MOST = 200


@dataclass(slots=True)
class Retired:
    """What has gone, or would go."""

    released: int = 0
    deleted: int = 0
    bytes_freed: int = 0


def retire(
    release: Callable[[FileAsset], None], delete: Callable[[FileAsset], None], *, dry_run: bool = False
) -> Retired:
    """Delete every file past its end, and release those past the time of their bytes, whatever is done with them.

    ``dry_run``: nothing is changed, and the figures are of all of them.
    """
    ended, due = expired_files(), files_to_release()
    if dry_run:
        return Retired(due.count(), ended.count(), _bytes_of([*ended, *due]))
    found = Retired()
    for asset in ended[:AT_MOST]:
        freed = lifecycle.bytes_freed_by(asset)
        with suppress(IllegalTransition):  # taken out of the trash in its last moment
            delete(asset)
            found.bytes_freed, found.deleted = found.bytes_freed + freed, found.deleted + 1
    for asset in due[:AT_MOST]:
        found.bytes_freed += lifecycle.bytes_freed_by(asset)
        release(asset)
        found.released += 1
    return found


def _bytes_of(files: Iterable[FileAsset]) -> int:
    """Bytes that several files share go where all who refer to them do."""
    total, going = 0, Counter[uuid.UUID]()
    for asset in files:
        total += sum(asset.renditions.values_list("size", flat=True))
        if asset.blob is not None:
            going[asset.blob.id] += 1
            total += asset.blob.size if going[asset.blob.id] == asset.blob.references else 0
    return total
