"""The sweep: finds what no bell announced. Every part is a conditional change, so that several may sweep at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import structlog

from windlass import conf
from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.processing import api as processing
from windlass.protocols.dialects import Dialect
from windlass.receiving import concatenation, direct_completion

log = structlog.get_logger(__name__)

#: How long one sweep may copy for uploads that are made of others; the next one goes on.
JOIN_SECONDS = 5.0

#: How long one sweep may take what browsers have sent straight to the store.
TAKE_SECONDS = 5.0

#: A bell unheard for this long is rung again by the next sweep.
UNHEARD_SECONDS = 2.0


@dataclass(slots=True)
class SweepReport:
    """What one sweep found. ``failed`` names the parts that raised; the others ran all the same."""

    jobs_taken_back: int = 0
    bells_rung: int = 0
    owed_opened: int = 0
    uploads_taken: int = 0
    uploads_expired: int = 0
    uploads_forgotten: int = 0
    uploads_to_join: int = 0
    files_released: int = 0
    files_deleted: int = 0
    references_repaired: int = 0
    spares_removed: int = 0
    orphans_removed: int = 0
    stores_passed_over: int = 0
    duplicates_merged: int = 0
    quotas_corrected: int = 0
    events_pruned: int = 0
    jobs_pruned: int = 0
    bytes_freed: int = 0
    failed: tuple[str, ...] = ()

    def found(self) -> dict[str, object]:
        """The figures that are not zero."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}


def sweep() -> SweepReport:
    """What must not wait: jobs whose worker died, bells that were lost, owed steps that can be done now, uploads that
    came to the store unannounced, whose time is over, or that nobody is joining any more, places that files were moved
    away from."""
    return _run(
        _lapsed_jobs,
        _lost_bells,
        _owed_steps,
        _sent_uploads,
        _expired_uploads,
        _retention,
        _spare_objects,
        _abandoned_joins,
    )


def housekeeping() -> SweepReport:
    """What may wait an hour: objects that no row names, records past their time, content that is stored twice."""
    return _run(_old_records, _references, _orphans, _duplicates, _quotas)


def _run(*parts: Callable[[SweepReport], None]) -> SweepReport:
    report = SweepReport()
    for part in parts:
        try:
            part(report)
        except Exception:  # the boundary of the scheduler: one part that fails must not stop the others
            name = part.__name__.strip("_")
            report.failed += (name,)
            log.exception("sweep.failed", part=name)
    if report.found():
        log.debug("sweep.done", **report.found())
    return report


def _lapsed_jobs(report: SweepReport) -> None:
    report.jobs_taken_back = processing.revoke_claims(jobs.expired_claims())


def _lost_bells(report: SweepReport) -> None:
    report.bells_rung = jobs.notify_due_jobs(again_after=UNHEARD_SECONDS)


def _owed_steps(report: SweepReport) -> None:
    report.owed_opened = processing.backfill()


def _sent_uploads(report: SweepReport) -> None:
    report.uploads_taken = direct_completion.complete_sent_uploads(Dialect.S3, seconds=TAKE_SECONDS)


def _expired_uploads(report: SweepReport) -> None:
    report.uploads_expired, freed = files.expire_uploads()
    report.bytes_freed += freed
    report.uploads_forgotten = files.delete_ended_uploads()


def _retention(report: SweepReport) -> None:
    found = processing.apply_retention()
    report.files_released, report.files_deleted = found.released, found.deleted
    report.bytes_freed += found.bytes_freed


def _references(report: SweepReport) -> None:
    report.references_repaired, freed = files.repair_reference_counts()
    report.bytes_freed += freed


def _spare_objects(report: SweepReport) -> None:
    report.spares_removed, freed = files.remove_expired_objects()
    report.bytes_freed += freed


def _abandoned_joins(report: SweepReport) -> None:
    report.uploads_to_join = concatenation.continue_abandoned(seconds=JOIN_SECONDS)


def _old_records(report: SweepReport) -> None:
    report.events_pruned = events.prune(conf.get().event_retention_days)
    accounts.prune_grants()
    report.jobs_pruned = jobs.prune(conf.get().dead_job_retention_days)


def _orphans(report: SweepReport) -> None:
    report.orphans_removed, freed, report.stores_passed_over = files.delete_orphans_in_all_stores()
    report.bytes_freed += freed


def _duplicates(report: SweepReport) -> None:
    report.duplicates_merged = files.merge_duplicates()


def _quotas(report: SweepReport) -> None:
    """Accounts change with what they count, so a wrong one is a fault, or a limit that was set while uploads ran."""
    for owner in list(files.quota_owners()):
        drift = files.recount_quota(owner)
        if drift is not None:
            report.quotas_corrected += 1
            log.warning("quota.corrected", owner=owner, **drift.too_much)
