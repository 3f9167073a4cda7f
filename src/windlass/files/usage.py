"""What is stored by owner, and which uploads are in progress, for staff."""

from __future__ import annotations

from django.db.models import QuerySet

from windlass.files.models import UploadSession
from windlass.files.quota import Usage, figures_of_owners, quota_usage
from windlass.files.states import UNFINISHED_UPLOADS


def unfinished_uploads() -> QuerySet[UploadSession]:
    """Uploads that are neither complete nor ended, those that received something last first."""
    return UploadSession.objects.filter(status__in=UNFINISHED_UPLOADS).order_by("-updated_at", "-id")


def largest_owners(most: int) -> list[Usage]:
    """The owners whose files have the most bytes, at most ``quota.MAX_OWNERS``, with their quotas.

    Which ones they are is counted now and then (``kept_figures``), as that reads the whole table of files.
    """
    return [quota_usage(owner) for owner, _, _ in figures_of_owners.read().get("largest", [])[:most]]
