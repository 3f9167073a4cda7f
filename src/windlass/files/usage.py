"""What is stored by owner, and which uploads are in progress, for staff."""

from __future__ import annotations

from django.db.models import QuerySet, Sum

from windlass.files.models import FileAsset, UploadSession
from windlass.files.quota import Usage, quota_usage
from windlass.files.states import UNFINISHED_UPLOADS


def unfinished_uploads() -> QuerySet[UploadSession]:
    """Uploads that are neither complete nor ended, those that received something last first."""
    return UploadSession.objects.filter(status__in=UNFINISHED_UPLOADS).order_by("-updated_at", "-id")


def largest_owners(most: int) -> list[Usage]:
    """The owners whose files have the most bytes, with their quotas. Reads the whole table of files."""
    kept = FileAsset.objects.filter(blob__isnull=False).order_by().values("owner").annotate(stored=Sum("size"))
    owners = kept.order_by("-stored", "owner").values_list("owner", flat=True)[:most]
    return [quota_usage(owner) for owner in owners]
