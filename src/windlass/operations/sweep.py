"""The clean-up tasks, in one table: for the scheduler's sweep, its hourly housekeeping and ``windlass sweep``.

Every task makes conditional changes only, so several processes may run the same one at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

import structlog
from django.apps import apps

from windlass import conf
from windlass.accounts import api as accounts
from windlass.events import api as events
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.clock import CLOCK_TOLERANCE, monotonic, now
from windlass.operations.deleted_words import forget_deleted_words
from windlass.processing import api as processing
from windlass.receiving import concatenation, direct_upload
from windlass.receiving.lease import LEASE_SECONDS

log = structlog.get_logger(__name__)

#: Seconds that one sweep may copy for concatenations, and complete direct uploads, before the next one continues.
CONCATENATION_SECONDS = 5.0
DIRECT_UPLOAD_SECONDS = 5.0
#: Seconds that the check of blobs may take in an hour, before the next one continues.
BLOB_CHECK_SECONDS = 20.0
#: A heavy task rests this many times as long as it took.
HEAVY_REST = 100.0
#: Seconds after which a notification that no worker answered is sent again.
UNANSWERED_SECONDS = 2.0


#: What ``windlass sweep`` calls each kind. Kinds may share a label.
LABELS = {
    "claims_revoked": "jobs of workers that are gone",
    "uploads_expired": "uploads past their life",
    "ended_uploads_deleted": "ended uploads forgotten",
    "files_deleted": "files past their time, or their time in the trash",
    "files_released": "files past their time, or their time in the trash",
    "retained_objects_deleted": "places that files were moved away from",
    "dead_letters_deleted": "dead letters past their retention",
    "references_corrected": "wrong reference counts",
    "orphans_deleted": "objects and parts that no row names",
    "stores_skipped": "stores passed over: away, not set up any more, or unable to list what they have",
    "duplicates_merged": "equal files brought together",
    "quotas_corrected": "wrong quota accounts",
    "indexes_merged": "indexes freed of deleted words",
}


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a task has changed: how many things of one kind, and the bytes that this freed.

    ``quota_drifts``: the figures of quota accounts that were wrong; the scheduler logs them.
    """

    kind: str
    count: int
    bytes_freed: int = 0
    quota_drifts: Sequence[Mapping[str, object]] = ()

    @property
    def label(self) -> str:
        return LABELS[self.kind]


class Schedule(Enum):
    SWEEP = auto()
    HOURLY = auto()
    BY_HAND = auto()


@dataclass(frozen=True, slots=True)
class CleanupTask:
    """``run`` takes ``dry_run``: change nothing, and return what would be changed.

    ``when``: part of the sweep, of the hourly housekeeping, or only of ``windlass sweep``. ``by_hand``: part of that
    too; only such tasks are called with ``dry_run`` set. ``batched``: one call handles a part only. ``heavy``: reads
    whole tables or stores, so that the housekeeping runs it for at most a hundredth of the time.
    """

    name: str
    run: Callable[[bool], Iterable[Cleaned]]
    when: Schedule = Schedule.SWEEP
    by_hand: bool = False
    batched: bool = False
    heavy: bool = False


@dataclass(slots=True)
class CleanupReport:
    """Counts by kind. ``failed`` names the tasks that raised; the others ran all the same."""

    counts: Counter[str] = field(default_factory=Counter)
    bytes_freed: int = 0
    failed: tuple[str, ...] = ()


def sweep() -> CleanupReport:
    """Run the urgent tasks, as the scheduler does every SWEEP_SECONDS."""
    return _run(task for task in TASKS if task.when is Schedule.SWEEP)


def housekeeping() -> CleanupReport:
    return _run(task for task in TASKS if task.when is Schedule.HOURLY and not _rests(task))


def _rests(task: CleanupTask) -> bool:
    """Whether a heavy task ran, in any scheduler, less than HEAVY_REST times its duration ago, and that is more than
    the hour between two runs."""
    state = files.PeriodicTaskState.objects.filter(name=_state_name(task)).first() if task.heavy else None
    rest = timedelta(seconds=0.0 if state is None else HEAVY_REST * state.seconds)
    if state is None or rest <= timedelta(hours=1) or state.updated_at > now() + CLOCK_TOLERANCE:
        return False
    return now() < state.updated_at + rest


def _state_name(task: CleanupTask) -> str:
    return f"task-{task.name}"


def clean_up(*, dry_run: bool = False) -> Iterator[Cleaned]:
    """Run the tasks of ``windlass sweep`` until nothing is left to do. ``dry_run``: change nothing, and only count."""
    for task in TASKS:
        again = task.by_hand
        while again:
            cleaned = list(task.run(dry_run))
            yield from cleaned
            again = task.batched and not dry_run and any(each.count for each in cleaned)


def _run(tasks: Iterable[CleanupTask]) -> CleanupReport:
    report = CleanupReport()
    for task in tasks:
        began = monotonic()
        try:
            for cleaned in task.run(False):
                report.counts[cleaned.kind] += cleaned.count
                report.bytes_freed += cleaned.bytes_freed
                for figures in cleaned.quota_drifts:
                    log.warning("quota.corrected", **figures)
        except Exception:  # the boundary of the scheduler: a task that fails must not stop the others
            report.failed += (task.name,)
            log.exception("sweep.failed", task=task.name)
        else:
            if task.heavy:
                state = {"seconds": monotonic() - began, "updated_at": now()}
                files.PeriodicTaskState.objects.update_or_create(name=_state_name(task), defaults=state)
    counts = {kind: count for kind, count in report.counts.items() if count}
    if counts or report.failed:
        log.debug("sweep.done", counts=counts, bytes_freed=report.bytes_freed, failed=report.failed)
    return report


def _times_ahead(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("times_corrected", jobs.correct_times_ahead())
    yield Cleaned("times_corrected", files.correct_key_claims_ahead(LEASE_SECONDS))
    yield Cleaned("times_corrected", events.correct_delivery_times_ahead())


def _expired_claims(dry_run: bool) -> Iterator[Cleaned]:
    expired = jobs.expired_claims()
    yield Cleaned("claims_revoked", len(expired) if dry_run else processing.revoke_claims(expired))


def _lost_notifications(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("notifications_sent", jobs.notify_due_jobs(again_after=UNANSWERED_SECONDS))


def _postponed_steps(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("jobs_reopened", processing.backfill())


def _undated_dead_letters(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("dead_letters_completed", jobs.complete_dead_letters())


def _direct_uploads(_: bool) -> Iterator[Cleaned]:
    completed = direct_upload.complete_sent_uploads(seconds=DIRECT_UPLOAD_SECONDS)
    yield Cleaned("direct_uploads_completed", completed)


def _throughput(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("minutes_counted", events.count_ended_minutes())


def _old_heartbeats(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("heartbeats_deleted", jobs.delete_old_heartbeats())


def _uploads(dry_run: bool) -> Iterator[Cleaned]:
    cleaned = files.clean_up_uploads(dry_run=dry_run)
    yield Cleaned("uploads_expired", cleaned.expired, cleaned.bytes_freed)
    yield Cleaned("ended_uploads_deleted", cleaned.deleted)


def _retention(dry_run: bool) -> Iterator[Cleaned]:
    report = processing.apply_retention(dry_run=dry_run)
    yield Cleaned("files_deleted", report.deleted, report.bytes_freed)
    yield Cleaned("files_released", report.released)


def _retained_objects(dry_run: bool) -> Iterator[Cleaned]:
    yield Cleaned("retained_objects_deleted", *files.remove_expired_objects(dry_run=dry_run))


def _abandoned_concatenations(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("concatenations_continued", concatenation.continue_abandoned(seconds=CONCATENATION_SECONDS))


def _old_records(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("events_pruned", events.prune(conf.get().event_retention_days))
    accounts.prune_grants()
    accounts.prune_sessions()
    accounts.prune_sign_ins()
    accounts.prune_tickets()
    files.prune_idempotency_keys()
    yield Cleaned("jobs_pruned", jobs.prune(conf.get().dead_job_retention_days))


def _deliveries(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("deliveries_pruned", events.prune_deliveries(conf.get().webhook_retention_days))
    yield Cleaned("breakers_pruned", events.delete_unused_breakers())


def _audit_chain(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("audit_entries_chained", events.chain_pending())


def _audit_retention(_: bool) -> Iterator[Cleaned]:
    yield Cleaned("audit_entries_pruned", events.prune_audit_log(conf.get().audit_retention_days))


def _dead_letters(dry_run: bool) -> Iterator[Cleaned]:
    count = jobs.delete_old_dead_letters(conf.get().dead_job_retention_days, dry_run=dry_run)
    yield Cleaned("dead_letters_deleted", count)


def _references(dry_run: bool) -> Iterator[Cleaned]:
    yield Cleaned("references_corrected", *files.repair_reference_counts(dry_run=dry_run))


def _orphans(dry_run: bool) -> Iterator[Cleaned]:
    count, freed, skipped = files.delete_orphans_in_all_stores(dry_run=dry_run)
    yield Cleaned("orphans_deleted", count, freed)
    if skipped:
        yield Cleaned("stores_skipped", skipped)


def _blobs(_: bool) -> Iterator[Cleaned]:
    report = files.check_blobs(seconds=BLOB_CHECK_SECONDS)
    yield Cleaned("references_corrected", report.corrected, report.bytes_freed)
    yield Cleaned("duplicates_merged", report.merged)


def _passages(_: bool) -> Iterator[Cleaned]:
    """What is stored of the texts of files that processes of an earlier version deleted. None without the app."""
    if apps.is_installed("windlass.knowledge"):
        from windlass.knowledge import api as knowledge

        yield Cleaned("passages_deleted", knowledge.delete_orphaned_passages())
        yield Cleaned("graphs_deleted", knowledge.delete_orphaned_graphs())
        yield Cleaned("entity_merges_deleted", knowledge.delete_unused_merges())


def _deleted_words(dry_run: bool) -> Iterator[Cleaned]:
    if not dry_run:
        yield Cleaned("indexes_merged", int(forget_deleted_words()))


def _duplicates(dry_run: bool) -> Iterator[Cleaned]:
    yield Cleaned("duplicates_merged", files.merge_duplicates(dry_run=dry_run))


def _quotas(dry_run: bool) -> Iterator[Cleaned]:
    """A quota account changes with what it counts. A wrong one is a fault, or a limit was set while uploads ran."""
    drifts = {owner: files.recount_quota(owner, dry_run=dry_run) for owner in files.quota_owners()}
    wrong = [{"owner": owner, **too_much} for owner, too_much in drifts.items() if too_much]
    yield Cleaned("quotas_corrected", len(wrong), quota_drifts=wrong)


#: In the order in which they run.
TASKS = (
    CleanupTask("times_ahead", _times_ahead),
    CleanupTask("expired_claims", _expired_claims, by_hand=True, batched=True),
    CleanupTask("lost_notifications", _lost_notifications),
    CleanupTask("postponed_steps", _postponed_steps),
    CleanupTask("undated_dead_letters", _undated_dead_letters),
    CleanupTask("direct_uploads", _direct_uploads),
    CleanupTask("old_heartbeats", _old_heartbeats),
    CleanupTask("throughput", _throughput),
    CleanupTask("audit_chain", _audit_chain),
    CleanupTask("uploads", _uploads, by_hand=True),
    CleanupTask("retention", _retention, by_hand=True, batched=True),
    CleanupTask("retained_objects", _retained_objects, by_hand=True),
    CleanupTask("abandoned_concatenations", _abandoned_concatenations),
    CleanupTask("old_records", _old_records, Schedule.HOURLY),
    CleanupTask("audit_retention", _audit_retention, Schedule.HOURLY),
    CleanupTask("deliveries", _deliveries, Schedule.HOURLY),
    CleanupTask("dead_letters", _dead_letters, Schedule.HOURLY, by_hand=True),
    CleanupTask("blobs", _blobs, Schedule.HOURLY),
    CleanupTask("references", _references, Schedule.BY_HAND, by_hand=True),
    CleanupTask("orphans", _orphans, Schedule.HOURLY, by_hand=True, heavy=True),
    CleanupTask("passages", _passages, Schedule.HOURLY, heavy=True),
    CleanupTask("deleted_words", _deleted_words, Schedule.HOURLY, by_hand=True, heavy=True),
    CleanupTask("duplicates", _duplicates, Schedule.BY_HAND, by_hand=True),
    CleanupTask("quotas", _quotas, Schedule.HOURLY, by_hand=True, heavy=True),
)
