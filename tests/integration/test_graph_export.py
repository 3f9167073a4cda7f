"""The export to a real Neo4j: whatever is killed, in the end it has what the database says, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import neo4j
import pytest

from tests import services
from tests.integration.test_graph_calls import file_with_graph, visible
from windlass.conf import BadSetting, Settings
from windlass.conf.graph import check_graph
from windlass.events import api as events
from windlass.files.api import FileAsset, PeriodicTaskState
from windlass.jobs import api as jobs
from windlass.jobs.models import ProcessHeartbeat
from windlass.kernel.clock import now
from windlass.kernel.ids import new_id
from windlass.knowledge import api as knowledge
from windlass.knowledge.graph import export, neo4j_database
from windlass.knowledge.graph.neo4j_database import Neo4jDatabase
from windlass.knowledge.models import FileGraph, GraphExport
from windlass.operations import graph_export
from windlass.operations.checks.check import CheckState
from windlass.operations.checks.graph import check_graph_export
from windlass.resilience import circuit_breaker

pytest_plugins = ["tests.integration.record_plane"]

_NODES = "MATCH (n) WHERE n.owner = $owner RETURN labels(n)[0], properties(n)"
_BETWEEN = "MATCH (a)-[r]->(b) WHERE a.owner = $owner RETURN a.id, type(r), properties(r), b.id"


class Graph:
    """The graph of one owner, here and in Neo4j."""

    def __init__(self, server: services.Neo4jServer) -> None:
        self.server = server
        self.owner = f"user:{new_id()}"
        self.driver = neo4j.GraphDatabase.driver(server.url, auth=(server.NAME, server.PASSWORD))

    def add(self, text: str) -> FileAsset:
        return file_with_graph(self.owner, text)

    def exported(self) -> list[str]:
        """Every node and relationship of the owner in Neo4j, as text."""
        found: list[str] = []
        for query in (_NODES, _BETWEEN):
            records = self.driver.execute_query(query, owner=self.owner).records
            found += [repr([_sorted(value) for value in record.values()]) for record in records]
        return sorted(found)

    def is_equal_to_rebuild(self) -> bool:
        before = self.exported()
        knowledge.export_graph(threading.Event(), rebuild=True)
        return bool(before) and before == self.exported()

    def entities(self) -> dict[str, int]:
        """How many names each entity has in Neo4j."""
        query = (
            "MATCH (e:WindlassEntity {owner: $owner}) "
            "RETURN e.name, COUNT { MATCH ()-[m:WINDLASS_MENTIONS]->(e) RETURN DISTINCT m.name }"
        )
        return dict(record.values() for record in self.driver.execute_query(query, owner=self.owner).records)


def _sorted(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


@pytest.fixture
def graph(neo4j_server: services.Neo4jServer, configure: Callable[..., None]) -> Iterator[Graph]:
    configure(**neo4j_server.settings)
    graph = Graph(neo4j_server)
    with graph.driver:
        yield graph
    circuit_breaker.reset()


def export_all() -> knowledge.ExportReport:
    knowledge.retry_refused_files()
    return knowledge.export_graph(threading.Event())


def test_neo4j_has_what_the_files_say_and_only_that(graph: Graph) -> None:
    first = graph.add("The Acme Ltd pays Ada Lovelace <ada@example.org>. Acme Ltd is old.")
    second = graph.add("The ACME Limited met the Blue Inc.")
    report = export_all()
    assert (report.written >= 2, report.is_busy) == (True, False)
    assert graph.entities() == {"ACME Limited": 2, "Ada Lovelace": 1, "ada@example.org": 1, "Blue Inc.": 1}
    text = "\n".join(graph.exported())
    assert "'WINDLASS_MENTIONS', [('count', 2), ('name', 'Acme Ltd'), ('passages', [0])]" in text
    assert "('type', 'has_email')" in text
    assert "('extractor', 'rules-2'), ('file'," in text
    assert export_all() == knowledge.ExportReport()  # nothing has changed
    assert graph.is_equal_to_rebuild()
    first.delete()
    export_all()
    assert graph.entities() == {"ACME Limited": 1, "Blue Inc.": 1}
    text = "\n".join(graph.exported())
    assert str(first.id) not in text
    assert "Lovelace" not in text
    FileAsset.objects.filter(id=second.id).update(gate_passed=False)
    export_all()
    assert graph.exported() == []


def test_merges_and_new_texts_are_exported(graph: Graph) -> None:
    asset = graph.add("The Acme Ltd met the Blue Inc here.")
    files = FileAsset.objects.filter(owner=graph.owner)
    ids = {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 10)[0]}
    export_all()
    knowledge.merge(graph.owner, ids["Blue Inc"], ids["Acme Ltd"])
    export_all()
    assert graph.entities() == {"Acme Ltd": 2}
    knowledge.split(graph.owner, ids["Acme Ltd"])
    export_all()
    assert graph.entities() == {"Acme Ltd": 1, "Blue Inc": 1}
    graph.add("The Cyan GmbH came.")
    FileGraph.objects.filter(file=asset).delete()
    export_all()
    assert graph.entities() == {"Cyan GmbH": 1}
    assert graph.is_equal_to_rebuild()


def test_an_export_that_is_killed_at_any_point_goes_on(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each call to Neo4j in turn, before it and after it, as a process that is killed there."""
    export_all()
    kept = [graph.add(f"The Acme{number} Ltd met the Common Inc and the Blue{number % 2} Inc.") for number in range(3)]
    gone = graph.add("The Gone Ltd met the Common Inc.")
    export_all()
    gone.delete()
    for at in range(1, 4):
        for after in (False, True):
            FileGraph.objects.filter(file__in=kept).update(revision=new_id())
            with killed(monkeypatch, at, after=after) as was_killed:
                export_all()
            assert was_killed == [True]
    export_all()
    assert not GraphExport.objects.filter(file_id=gone.id).exists()
    assert "Gone" not in "\n".join(graph.exported())
    assert graph.is_equal_to_rebuild()


class _Killed(BaseException):
    pass


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> Iterator[list[bool]]:
    calls, was_killed = 0, [False]

    def killing(method: Callable[..., None]) -> Callable[..., None]:
        def call(self: Neo4jDatabase, *arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if after or calls != at:
                method(self, *arguments)
            if calls == at:
                raise _Killed

        return call

    with monkeypatch.context() as patched:
        for name in ("replace_file", "delete_file"):
            patched.setattr(Neo4jDatabase, name, killing(getattr(Neo4jDatabase, name)))
        try:
            yield was_killed
        except _Killed:
            was_killed[0] = True


def test_a_merge_reaches_every_file_of_the_entity(graph: Graph) -> None:
    for number in range(4):
        graph.add(f"The Acme Ltd met the Blue Inc in room {number}.")
    export_all()
    ids = {each.name: each.id for each in knowledge.list_entities(visible(graph.owner), "", None, None, 10)[0]}
    knowledge.merge(graph.owner, ids["Blue Inc"], ids["Acme Ltd"])
    assert export_all().written == 4
    assert graph.entities() == {"Acme Ltd": 2}


def test_a_relation_between_entities_of_many_files_is_written_without_reading_theirs(graph: Graph) -> None:
    graph.driver.execute_query(
        "CREATE (a:WindlassEntity {id: 'hub-a', owner: $owner}) CREATE (b:WindlassEntity {id: 'hub-b', owner: $owner}) "
        "WITH a, b UNWIND range(1, 3000) AS n CREATE (a)-[:WINDLASS_RELATED {id: 'other ' + n, file: 'other'}]->(b)",
        owner=graph.owner,
    )
    rows = [
        {"id": f"own {number}", "source": "hub-a", "target": "hub-b", "type": "x", "passage": 0, "confidence": 1.0}
        for number in range(20)
    ]
    statement = f"PROFILE {neo4j_database._RELATIONS}"
    values = {"file": "own", "extractor": "x", "rows": rows}
    with graph.driver.session() as session:
        profile = session.run(statement, values).consume().profile
    assert profile is not None
    assert sum(reads_of(profile)) < 100 * len(rows)
    graph.driver.execute_query("MATCH (n:WindlassEntity {owner: $owner}) DETACH DELETE n", owner=graph.owner)


def reads_of(plan: Any) -> Iterator[int]:
    yield plan.get("dbHits", 0)
    for child in plan.get("children", ()):
        yield from reads_of(child)


def test_two_writers_of_one_file_leave_it_once(graph: Graph) -> None:
    """A process may be stopped for longer than its lease, and write then."""
    file_id, ends = new_id(), [str(new_id()) for _ in range(2)]
    values = {"name": "a.txt", "owner": graph.owner, "extractor": "x"}
    mentions = [
        {"entity": each, "type": "person", "name": f"N{number}", "count": 1, "passages": [0]}
        for number, each in enumerate(ends)
    ]
    relation = {"id": "1", "source": ends[0], "target": ends[1], "type": "x", "passage": 0, "confidence": 1.0}

    def write() -> None:
        with neo4j_database.connected() as database:
            for _ in range(10):
                database.replace_file(file_id, values, mentions, [relation])

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(write) for _ in range(3)]:
            done.result()
    assert len(graph.exported()) == 3 + 2 + 1
    with neo4j_database.connected() as database:
        database.delete_file(file_id)
    assert graph.exported() == []


def test_one_process_exports_at_a_time(graph: Graph) -> None:
    graph.add("The Acme Ltd met the Blue Inc here.")
    other = export._Lease()
    assert other.take()
    assert export_all().is_busy
    other.release()
    assert export_all().written >= 1


def test_the_lease_of_a_process_that_was_killed_is_taken(graph: Graph) -> None:
    """Else nothing would be exported for three minutes after the kill of a server that was just exporting."""
    graph.add("The Acme Ltd met the Blue Inc here.")
    name = f"scheduler-{new_id()}"
    jobs.record_heartbeat(name, jobs.ProcessRole.SCHEDULER)
    assert export._Lease(name).take()
    assert export_all().is_busy
    ProcessHeartbeat.objects.filter(name=name).update(seen_at=now() - timedelta(seconds=2 * jobs.ALIVE_SECONDS))
    assert export_all().written >= 1


def test_a_rebuild_that_lost_its_lease_deletes_nothing_more(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would delete what the other process has written, and recorded as written."""
    graph.add("The Acme Ltd met the Blue Inc here.")
    export_all()
    before, others, calls = graph.exported(), export._Lease(), []

    def take_the_lease(self: Neo4jDatabase) -> bool:
        PeriodicTaskState.objects.filter(name="graph_export").update(value={})
        calls.append(others.take())
        return True

    with monkeypatch.context() as patched:
        patched.setattr(Neo4jDatabase, "delete_some", take_the_lease)
        assert knowledge.export_graph(threading.Event(), rebuild=True).is_busy
    assert calls == [True]
    others.release()
    export_all()
    assert graph.exported() == before


def export_again_and_again(assets: list[FileAsset]) -> None:
    """Until Neo4j is away: it may be killed after the last file was written."""
    while True:
        export_all()
        FileGraph.objects.filter(file__in=assets).update(revision=new_id())


def test_it_is_owed_while_neo4j_is_away_or_killed(
    graph: Graph, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = [graph.add(f"The Acme{number} Ltd met the Common Inc here.") for number in range(12)]
    configure(NEO4J_URL=f"bolt://127.0.0.1:{services.free_port()}")
    with pytest.raises(knowledge.Neo4jAway, match="Neo4j cannot be written to"):
        export_all()
    assert not GraphExport.objects.filter(revision__isnull=False, file_id__in=[each.id for each in assets]).exists()
    circuit_breaker.reset()
    configure(**graph.server.settings)

    replace, written = Neo4jDatabase.replace_file, []

    def replace_and_kill(self: Neo4jDatabase, *arguments: Any) -> None:
        written.append(arguments[0])
        if len(written) == 6:
            threading.Thread(target=graph.server.kill).start()
        replace(self, *arguments)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(Neo4jDatabase, "replace_file", replace_and_kill)
            with pytest.raises(knowledge.Neo4jAway):
                export_again_and_again(assets)
    finally:
        graph.server.start()
    circuit_breaker.reset()
    export_all()
    assert len(graph.entities()) == 13
    assert graph.is_equal_to_rebuild()


@pytest.fixture
def names_are_unique(graph: Graph) -> Iterator[Callable[[], object]]:
    """Neo4j refuses a second file of one name. Calling it ends that."""
    graph.driver.execute_query("MATCH (f:WindlassFile) DETACH DELETE f")  # of other tests
    graph.driver.execute_query("CREATE CONSTRAINT one_name FOR (f:WindlassFile) REQUIRE (f.owner, f.name) IS UNIQUE")
    end = partial(graph.driver.execute_query, "DROP CONSTRAINT one_name IF EXISTS")
    yield end
    end()


def test_a_file_that_neo4j_refuses_delays_no_other(graph: Graph, names_are_unique: Callable[[], object]) -> None:
    export_all()
    first, second, third = (graph.add(f"The {name} Ltd met the Common Inc.") for name in ("Acme", "Blue", "Cyan"))
    for asset in (first, second):
        FileAsset.objects.filter(id=asset.id).update(original_filename="same.txt")
    report = export_all()
    assert (report.written, report.refused) == (2, 1)
    assert len(graph.entities()) == 3
    (row,) = knowledge.refused_files()
    assert row.file_id in (first.id, second.id)
    assert (row.attempts, "ConstraintError" in row.reason) == (1, True)
    assert check_graph_export().detail.startswith("Neo4j refuses 1 files")
    assert knowledge.export_graph(threading.Event()) == knowledge.ExportReport(), "it is not due yet"
    names_are_unique()
    assert export_all() == knowledge.ExportReport(written=1)
    assert len(graph.entities()) == 4
    assert check_graph_export().state == CheckState.OK
    third.delete()
    assert export_all().deleted == 1
    assert graph.is_equal_to_rebuild()


def test_the_scheduler_compares_the_files_that_the_journal_names(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_export, "INTERVAL_SECONDS", 0.0)
    exporter, stop, compared = graph_export.GraphExporter(), threading.Event(), []
    export = knowledge.export_graph
    monkeypatch.setattr(
        knowledge, "export_graph", lambda stop, among, process: [compared.append(among), export(stop, among=among)][1]
    )
    first = graph.add("The Acme Ltd met the Common Inc.")
    exporter.run_due(stop)
    second = graph.add("The Blue Ltd met the Common Inc.")
    exporter.run_due(stop)
    assert "Blue Ltd" not in graph.entities(), "nothing in the journal names it"
    with events.recording() as recorder:
        recorder.add(events.EventType.FILE_READY, owner=graph.owner, file_id=second.id)
    exporter.run_due(stop)
    exporter.run_due(stop)
    assert compared == [None, set(), {second.id}, set()]
    assert graph.entities() == {"Acme Ltd": 1, "Blue Ltd": 1, "Common Inc.": 1}
    files = FileAsset.objects.filter(owner=graph.owner)
    ids = {each.name: each.id for each in knowledge.list_entities(files, "", None, None, 10)[0]}
    knowledge.merge(graph.owner, ids["Blue Ltd"], ids["Acme Ltd"])
    exporter.run_due(stop)
    assert graph.entities() == {"Acme Ltd": 2, "Common Inc.": 1}
    exporter = graph_export.GraphExporter()
    first.delete()
    exporter.run_due(stop)
    assert graph.entities() == {"Blue Ltd": 1, "Common Inc.": 1}


@pytest.mark.parametrize("url", ["http://localhost", "bolt://user:secret@host", "neo4j://", "bolt://host/path"])
def test_a_wrong_address_stops_the_start(url: str) -> None:
    with pytest.raises(BadSetting, match="NEO4J_URL"):
        check_graph(Settings(neo4j_url=url))
    check_graph(Settings(neo4j_url="neo4j+s://graph.example.org"))
