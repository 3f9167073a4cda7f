"""What is stored by owner, and which uploads are in progress, for staff."""

from __future__ import annotations

import threading

from django.db.models import QuerySet, Sum

from windlass.files.models import FileAsset, UploadSession
from windlass.files.quota import Usage, quota_usage
from windlass.files.states import UNFINISHED_UPLOADS
from windlass.kernel.clock import monotonic

#: Owners that are kept in their order, and seconds until they are counted again.
MAX_OWNERS = 100
COUNT_SECONDS = 60.0


def unfinished_uploads() -> QuerySet[UploadSession]:
    """Uploads that are neither complete nor ended, those that received something last first."""
    return UploadSession.objects.filter(status__in=UNFINISHED_UPLOADS).order_by("-updated_at", "-id")


class _CountedOwners:
    """The owners in the order of their bytes, counted at most once a minute by each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: list[str] = []
        self._until = 0.0

    def first(self, most: int) -> list[str]:
        """While one thread counts, the others wait for it."""
        with self._lock:
            if monotonic() >= self._until:
                self._owners = _owners_by_bytes(MAX_OWNERS)
                self._until = monotonic() + COUNT_SECONDS
            return self._owners[:most]


_counted = _CountedOwners()


def largest_owners(most: int) -> list[Usage]:
    """The owners whose files have the most bytes, at most MAX_OWNERS, with their quotas.

    Which ones they are is counted once in COUNT_SECONDS, as that reads the whole table of files; their figures are
    those of now.
    """
    return [quota_usage(owner) for owner in _counted.first(most)]


def _owners_by_bytes(most: int) -> list[str]:
    kept = FileAsset.objects.filter(blob__isnull=False).order_by().values("owner").annotate(stored=Sum("size"))
    return list(kept.order_by("-stored", "owner").values_list("owner", flat=True)[:most])
