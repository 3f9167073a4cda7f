"""Everything that is past its time or that nobody refers to, let go at once, or only counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from windlass.files import api as files
from windlass.processing import api as processing


@dataclass(frozen=True, slots=True)
class Tidied:
    """One kind of thing: how many, and the bytes that they had."""

    what: str
    count: int
    bytes_freed: int = 0


def tidy(*, dry_run: bool = False) -> Iterator[Tidied]:
    """Each kind as it is done. ``dry_run``: nothing is changed, and the figures are what would go."""
    yield Tidied("uploads past their life", *files.expire_uploads(dry_run=dry_run))
    yield Tidied("ended uploads forgotten", files.delete_ended_uploads(dry_run=dry_run))
    yield from _retired(dry_run=dry_run)
    yield Tidied("places that files were moved away from", *files.remove_expired_objects(dry_run=dry_run))
    yield Tidied("wrong reference counts", *files.repair_reference_counts(dry_run=dry_run))
    count, freed, passed_over = files.delete_orphans_in_all_stores(dry_run=dry_run)
    yield Tidied("objects and parts that no row names", count, freed)
    if passed_over:
        yield Tidied("stores passed over: away, not set up any more, or unable to list what they have", passed_over)
    yield Tidied("equal files brought together", files.merge_duplicates(dry_run=dry_run))
    drifts = [files.recount_quota(owner, dry_run=dry_run) for owner in list(files.quota_owners())]
    yield Tidied("wrong quota accounts", sum(1 for drift in drifts if drift is not None))


def _retired(*, dry_run: bool) -> Iterator[Tidied]:
    """As many rounds as it takes."""
    while True:
        found = processing.apply_retention(dry_run=dry_run)
        yield Tidied(
            "files past their time, or their time in the trash", found.released + found.deleted, found.bytes_freed
        )
        if dry_run or not (found.released or found.deleted):
            return
