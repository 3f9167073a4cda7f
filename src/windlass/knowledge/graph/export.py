"""Export the graph to Neo4j, file by file, and delete there what is gone here.

What is to be done is found by comparing: each file's graph has a revision, and ``GraphExport`` records which one Neo4j
has. So nothing has to announce a change, and an export that is killed, or finds Neo4j away, goes on where it stopped.
Who knows which files may have changed has only these compared. Before the first write of a file its row says that
something may be there; after the last deletion the row is deleted. A file that Neo4j refuses is tried again later, and
delays no other. One process exports at a time (``_Lease``), so that an old state never replaces a newer one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from windlass import conf
from windlass.files.api import PeriodicTaskState
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.knowledge.graph.merges import with_counted_entity
from windlass.knowledge.graph.neo4j_database import Neo4jAway, Neo4jDatabase, WriteRefused, connected
from windlass.knowledge.models import EntityMention, EntityRelation, FileEntity, FileGraph, GraphExport

#: Files that one query finds.
BATCH = 100
#: Files whose export failed, and is due, that one call looks at.
MOST_OWED = 5_000
#: Seconds until the second attempt at a file that was refused, and until the last ones.
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 5.0, 3600.0
#: The right to export lapses after so many seconds without a transaction in Neo4j: longer than one may take.
LEASE_SECONDS = 180.0
_LEASE = "graph_export"


@dataclass(slots=True)
class ExportReport:
    """How many files were written, deleted and refused. ``is_busy``: another process exports."""

    written: int = 0
    deleted: int = 0
    refused: int = 0
    is_busy: bool = False


def is_exported() -> bool:
    """Whether the settings name a Neo4j."""
    return bool(conf.get().neo4j_url)


def refused_files() -> QuerySet[GraphExport]:
    """What Neo4j refused when it was last tried."""
    return GraphExport.objects.filter(revision=None).exclude(reason="")


def retry_refused_files() -> None:
    """Let the next export try them, whenever they are due."""
    GraphExport.objects.filter(revision=None).update(due_at=None)


def export_graph(
    stop: threading.Event, *, rebuild: bool = False, among: Collection[UUID] | None = None, process: str = ""
) -> ExportReport:
    """Write every changed file, and delete every file that is gone, until nothing is left to do or ``stop`` is set.

    ``rebuild``: first delete everything of Windlass in Neo4j. ``among``: the only files that may have changed; files
    whose export failed before are looked at too. ``process``: the name of the caller's heartbeat; if that stops, no
    other process has to wait until the lease lapses. Connects only if there is something to do. Raises Neo4jAway: what
    was not done is left for the next call.
    """
    report, lease = ExportReport(), _Lease(process)
    work = _Work(None if among is None else [*among, *_owed_ids()])
    if not rebuild and not work.exists():
        return report
    if not lease.take():
        report.is_busy = True
        return report
    try:
        with connected() as database:
            database.create_schema()
            if rebuild:
                GraphExport.objects.update(revision=None, attempts=0, reason="", due_at=None)
                while database.delete_some():
                    if not lease.take():  # another process would write what this one deletes
                        report.is_busy = True
                        return report
            _export(database, work, report, lease, stop)
    finally:
        lease.release()
    return report


class _Work:
    """What is to be done: among these files, or all (None)."""

    def __init__(self, among: Collection[UUID] | None) -> None:
        self._among = among

    def exists(self) -> bool:
        return self._among != [] and (self._changed().exists() or self._gone().exists())

    def changed(self) -> list[UUID]:
        return list(self._changed().values_list("file_id", flat=True)[:BATCH])

    def gone(self) -> list[UUID]:
        return list(self._gone().values_list("file_id", flat=True)[:BATCH])

    def _changed(self) -> QuerySet[FileGraph]:
        of_file = GraphExport.objects.filter(file_id=OuterRef("file_id"))
        settled = of_file.filter(Q(revision=OuterRef("revision")) | Q(due_at__gt=now()))
        graphs = _current().filter(~Exists(settled))
        return graphs if self._among is None else graphs.filter(file_id__in=self._among)

    def _gone(self) -> QuerySet[GraphExport]:
        is_there = Exists(_current().filter(file_id=OuterRef("file_id")))
        rows = GraphExport.objects.filter(~is_there).filter(_is_due())
        return rows if self._among is None else rows.filter(file_id__in=self._among)


def _is_due() -> Q:
    return Q(due_at=None) | Q(due_at__lte=now())


def _owed_ids() -> list[UUID]:
    owed = GraphExport.objects.filter(_is_due(), revision=None)
    return list(owed.values_list("file_id", flat=True)[:MOST_OWED])


def _export(database: Neo4jDatabase, work: _Work, report: ExportReport, lease: _Lease, stop: threading.Event) -> None:
    while not stop.is_set():
        gone, changed = work.gone(), work.changed()
        if not gone and not changed:
            return
        for file_id in gone:
            if stop.is_set() or not lease.take():
                return
            report.deleted += _attempted(file_id, report, lambda: _delete(database, file_id))  # noqa: B023  called at once
        for file_id in changed:
            if stop.is_set() or not lease.take():
                return
            report.written += _attempted(file_id, report, lambda: _write(database, file_id))  # noqa: B023  called at once


def _attempted(file_id: UUID, report: ExportReport, write: Callable[[], bool]) -> bool:
    """Whether it was done. A file that is refused, or at which the connection broke, is tried again later, after the
    others: it may be what Neo4j cannot bear. Raises Neo4jAway."""
    try:
        return write()
    except WriteRefused as error:
        report.refused += 1
        _postpone(file_id, str(error))
        return False
    except Neo4jAway as error:
        if error.was_asked:
            _postpone(file_id, "")
        raise


def _postpone(file_id: UUID, reason: str) -> None:
    row = GraphExport.objects.get(file_id=file_id)
    seconds = min(BACKOFF_SECONDS * 2 ** min(row.attempts, 20), LONGEST_BACKOFF_SECONDS)
    row.revision, row.attempts, row.reason = None, min(row.attempts + 1, 1_000), reason[:300]
    row.due_at = now() + timedelta(seconds=seconds)
    row.save()


def _delete(database: Neo4jDatabase, file_id: UUID) -> bool:
    database.delete_file(file_id)
    GraphExport.objects.filter(file_id=file_id).delete()
    return True


def _write(database: Neo4jDatabase, file_id: UUID) -> bool:
    """Export one file; return whether it was there and did not change meanwhile."""
    GraphExport.objects.update_or_create(file_id=file_id, defaults={"revision": None})
    of_file = {"name": F("file__original_filename"), "owner": F("file__owner")}
    graph: Any = _current().filter(file_id=file_id).annotate(**of_file).first()
    if graph is None:
        return False
    entities = {row.id: row for row in with_counted_entity(FileEntity.objects.filter(file_id=file_id))}
    mentions, relations = list(_mentions(file_id, entities)), list(_relations(file_id, entities))
    if not _current().filter(file_id=file_id, revision=graph.revision).exists():
        return False
    values = {"name": graph.name, "owner": graph.owner, "extractor": graph.extractor}
    database.replace_file(file_id, values, mentions, relations)
    exported = GraphExport.objects.filter(file_id=file_id)
    if not exported.update(revision=graph.revision, attempts=0, reason="", due_at=None):
        GraphExport.objects.get_or_create(file_id=file_id)  # another process has deleted it meanwhile: do it again
    return True


def _mentions(file_id: UUID, entities: Mapping[int, Any]) -> Iterator[dict[str, Any]]:
    """One row for each name that the file gives an entity."""
    passages: dict[int, set[int]] = {}
    rows = EntityMention.objects.filter(file_entity__file_id=file_id)
    for number, passage in rows.values_list("file_entity_id", "passage"):
        passages.setdefault(number, set()).add(passage)
    for number, row in entities.items():
        places = sorted(passages.get(number, ()))
        of_entity = {"entity": str(row.counted), "type": row.type, "name": row.name}
        yield {**of_entity, "count": row.mentions, "passages": places}


def _relations(file_id: UUID, entities: Mapping[int, Any]) -> Iterator[dict[str, Any]]:
    for row in EntityRelation.objects.filter(source__file_id=file_id):
        source, target = entities.get(row.source_id), entities.get(row.target_id)
        if source is None or target is None:
            continue
        yield {
            "id": f"{file_id} {source.exact} {target.exact} {row.type} {row.passage}",
            "source": str(source.counted),
            "target": str(target.counted),
            "type": row.type,
            "passage": row.passage,
            "confidence": row.confidence,
        }


def _current() -> QuerySet[FileGraph]:
    """The graphs of files that a search would find too."""
    return FileGraph.objects.filter(file__gate_passed=True, file__trashed_at=None)


class _Lease:
    """The right to export, of one process at a time. ``process``: the name of its heartbeat, if it has one."""

    def __init__(self, process: str = "") -> None:
        self._value = {"holder": str(uuid4()), "process": process}

    def take(self) -> bool:
        """Take or renew it; False if another process has it, which is not known to be dead."""
        mine = {"value": self._value, "updated_at": now()}
        rows = PeriodicTaskState.objects.filter(name=_LEASE)
        lapsed = Q(updated_at__lt=now() - timedelta(seconds=LEASE_SECONDS)) | Q(value={}) | Q(value=self._value)
        if rows.filter(lapsed).update(**mine):
            return True
        other = rows.values_list("value", flat=True).first()
        if other is None:
            return PeriodicTaskState.objects.get_or_create(name=_LEASE, defaults=mine)[1]
        return _is_dead(other.get("process", "")) and bool(rows.filter(value=other).update(**mine))

    def release(self) -> None:
        PeriodicTaskState.objects.filter(name=_LEASE, value=self._value).update(value={}, updated_at=now())


def _is_dead(process: str) -> bool:
    """Whether its heartbeat has stopped. One without a heartbeat is not known to be dead."""
    return any(each.name == process and not each.alive for each in jobs.seen_processes(jobs.ProcessRole.SCHEDULER))
