"""Whatever is killed while files are indexed, the index and the graph end as they are when they are built anew.

Workers, their children, the whole server, the endpoint of the model and Neo4j are killed at seeded moments, while files
come, change and go. Then what is stored, here and in Neo4j, is compared row by row with a new server that has received
the same files. CHAOS_SEED and CHAOS_ROUNDS repeat and prolong it. CHAOS_DATABASE=postgresql plays it on PostgreSQL with
pgvector, which is killed too.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import neo4j
import psutil
import psycopg
import pytest

from tests import services
from tests.process.conftest import ServerProcess, free_port
from tests.process.serving import TIMEOUT, until
from windlass.client import Client

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
DATABASE = os.environ.get("CHAOS_DATABASE", "sqlite")
#: Kills in each round, in an order of the seed. In a run of several rounds Neo4j too, which takes long to start again;
#: in the tests of the export it is killed in any case.
VICTIMS = ("worker", "child", "server", "model")
SETTINGS = {
    "EMBEDDINGS": "http",
    "EMBEDDINGS_MODEL": "trial",
    "EMBEDDINGS_BATCH": "2",
    "GRAPH": "rules",
    "SWEEP_SECONDS": "0.5",
    "JOB_LEASE_SECONDS": "2",
    "JOB_BACKOFF_SECONDS": "0.2",
    "JOB_MAX_ATTEMPTS": "20",
    "BREAKER_RECOVERY_SECONDS": "1",
    "BACKFILL_PER_MINUTE": "6000",
}
NAMES = ("Acme", "Blue River", "Cyan", "Northwind Rope", "Harbour")
COLUMNS = {
    "passages": 'SELECT f.original_filename, p.ordinal, p.text, p.start, p."end", p.page, p.language, p.version '
    "FROM windlass_knowledge_passage p LEFT JOIN windlass_files_fileasset f ON f.id = p.file_id",
    "vectors": "SELECT f.original_filename, p.ordinal, m.key, hex(v.data) FROM windlass_knowledge_passagevector v "
    "LEFT JOIN windlass_knowledge_embeddingmodel m ON m.id = v.model_id "
    "LEFT JOIN windlass_knowledge_passage p ON p.id = v.passage_id "
    "LEFT JOIN windlass_files_fileasset f ON f.id = p.file_id",
    "words": "SELECT f.original_filename, p.ordinal, w.words FROM windlass_knowledge_words w "
    "LEFT JOIN windlass_knowledge_passage p ON p.id = w.rowid LEFT JOIN windlass_files_fileasset f ON f.id = p.file_id",
    "entities": "SELECT f.original_filename, e.entity, e.exact, e.type, e.name, e.search_name, e.mentions "
    "FROM windlass_knowledge_fileentity e LEFT JOIN windlass_files_fileasset f ON f.id = e.file_id",
    "mentions": 'SELECT f.original_filename, e.exact, m.passage, m.start, m."end", m.confidence '
    "FROM windlass_knowledge_entitymention m LEFT JOIN windlass_knowledge_fileentity e ON e.id = m.file_entity_id "
    "LEFT JOIN windlass_files_fileasset f ON f.id = e.file_id",
    "relations": "SELECT f.original_filename, a.exact, b.exact, r.type, r.passage, r.confidence "
    "FROM windlass_knowledge_entityrelation r LEFT JOIN windlass_knowledge_fileentity a ON a.id = r.source_id "
    "LEFT JOIN windlass_knowledge_fileentity b ON b.id = r.target_id "
    "LEFT JOIN windlass_files_fileasset f ON f.id = a.file_id",
}
#: What PostgreSQL has elsewhere.
POSTGRESQL_COLUMNS = COLUMNS | {
    "vectors": COLUMNS["vectors"].replace("hex(v.data)", "v.embedding::text"),
    "words": "SELECT f.original_filename, p.ordinal, p.words::text FROM windlass_knowledge_passage p "
    "LEFT JOIN windlass_files_fileasset f ON f.id = p.file_id",
}
OWED = (
    "SELECT count(*) FROM windlass_files_fileasset WHERE status != 'READY'",
    "SELECT count(*) FROM windlass_files_steprun WHERE state NOT IN ('done', 'skipped')",
    "SELECT count(*) FROM windlass_knowledge_filegraph g LEFT JOIN windlass_knowledge_graphexport x "
    "ON x.file_id = g.file_id AND x.revision = g.revision WHERE x.file_id IS NULL",
    "SELECT count(*) FROM windlass_knowledge_graphexport x LEFT JOIN windlass_knowledge_filegraph g "
    "ON g.file_id = x.file_id WHERE g.file_id IS NULL",
)


class Model:
    """The endpoint of a model, in a process of its own and always on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "tests.model_server", str(self.port)])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def model() -> Iterator[Model]:
    endpoint = Model()
    yield endpoint
    endpoint.kill()


class Sqlite:
    """The database of a server on SQLite."""

    columns = COLUMNS
    settings: Mapping[str, str] = {}

    def rows(self, home: Path, query: str) -> list[Any]:
        (path,) = home.glob("*.sqlite3")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query).fetchall()

    def restart(self) -> None:
        raise AssertionError("it has no process")


class Postgresql:
    """A database of its own in a PostgreSQL with pgvector."""

    columns = POSTGRESQL_COLUMNS

    def __init__(self, server: services.Postgres) -> None:
        self._server, self._url = server, server.new_database()
        self.settings = {"DATABASE_URL": self._url}

    def rows(self, home: Path, query: str) -> list[Any]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(query.encode()).fetchall()

    def restart(self) -> None:
        self._server.program.kill()
        self._server.program.start()


Database = Sqlite | Postgresql


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[], Database]:
    if DATABASE == "sqlite":
        return Sqlite
    server = request.getfixturevalue("pgvector_server")
    return lambda: Postgresql(server)


class System:
    """A server, and what is beside it. ``texts``: the files that it is to have, by name."""

    def __init__(
        self,
        server: ServerProcess,
        database: Database,
        model: Model,
        graph: services.Neo4jServer,
        driver: neo4j.Driver,
    ) -> None:
        self.server, self.database, self.model, self.graph, self.driver = server, database, model, graph, driver
        self.texts: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    def upload(self, name: str, text: str) -> None:
        self.texts[name] = text
        with Client(self.server.url) as client:
            path = self.server.home.with_name(name)
            path.write_text(text)
            self.ids[name] = client.upload(path).id

    def delete(self, name: str) -> None:
        del self.texts[name]
        with Client(self.server.url) as client:
            client.delete(self.ids.pop(name), permanent=True)

    def reprocess(self, name: str) -> None:
        """409 while it is being processed."""
        httpx.post(f"{self.server.url}/files/{self.ids[name]}/reprocess/", timeout=TIMEOUT)

    def kill(self, victim: str, random_source: random.Random) -> None:
        if victim == "server":
            self.server.kill()
            self.server.start()
        elif victim == "neo4j":
            self.graph.kill()
            self.graph.start()
        elif victim == "database":
            self.database.restart()
        elif victim == "model":
            self.model.kill()
            time.sleep(random_source.uniform(0, 0.5))
            self.model.start()
        else:
            worker = psutil.Process(self.server.worker_pid())
            children = worker.children(recursive=True) if victim == "child" else []
            with contextlib.suppress(psutil.NoSuchProcess):
                (random_source.choice(children) if children else worker).kill()

    def settle(self) -> None:
        """Wait until nothing is owed."""
        until(lambda: not any(self.owed()), "nothing to be owed")

    def owed(self) -> list[int]:
        return [self.rows(each)[0][0] for each in OWED]

    def rows(self, query: str) -> list[Any]:
        return self.database.rows(self.server.home, query)

    def contents(self) -> dict[str, list[str]]:
        """Every row, without ids that depend on the order or on chance."""
        found = {name: sorted(map(repr, self.rows(query))) for name, query in self.database.columns.items()}
        names = {file_id: name for name, file_id in self.ids.items()}
        for kind, query in {
            "nodes": "MATCH (n:WindlassFile|WindlassEntity) RETURN labels(n), properties(n)",
            "edges": "MATCH (a)-[r:WINDLASS_MENTIONS|WINDLASS_RELATED]->(b) RETURN a.id, type(r), properties(r), b.id",
        }.items():
            lines = []
            for record in self.driver.execute_query(query).records:
                values = [sorted(each.items()) if isinstance(each, dict) else each for each in record.values()]
                line = repr(values)
                for file_id, name in names.items():
                    line = line.replace(file_id, name)
                lines.append(line)
            found[kind] = sorted(lines)
        return found


def text_of(number: int, source: random.Random) -> str:
    """About ten passages, with names that other files have too."""
    lines = []
    for line in range(source.randrange(20, 90)):
        one, two = source.sample(NAMES, 2)
        lines.append(
            f"On March {source.randrange(1, 28)}, 2024 the {one} Ltd. paid EUR {source.randrange(10, 999)}.00 to the "
            f"{two} Inc. for item {number}.{line}."
        )
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(300 * ROUNDS)
def test_what_is_killed_leaves_the_index_and_the_graph_of_a_rebuild(
    neo4j_server: services.Neo4jServer, model: Model, new_database: Callable[[], Database], tmp_path: Path
) -> None:
    source = random.Random(SEED)
    settings = SETTINGS | neo4j_server.settings | {"EMBEDDINGS_URL": f"http://127.0.0.1:{model.port}/v1"}
    with neo4j.GraphDatabase.driver(neo4j_server.url, auth=(neo4j_server.NAME, neo4j_server.PASSWORD)) as driver:
        forget_graph(driver)
        database = new_database()
        server = ServerProcess(tmp_path / "killed", **settings, **database.settings)
        system = System(server, database, model, neo4j_server, driver)
        system.server.start()
        try:
            play(system, source)
            system.settle()
            found = system.contents()
        finally:
            system.server.kill()
            if neo4j_server.process is None:
                neo4j_server.start()
        forget_graph(driver)
        database = new_database()
        server = ServerProcess(tmp_path / "rebuilt", **settings, **database.settings)
        rebuilt = System(server, database, model, neo4j_server, driver)
        rebuilt.server.start()
        try:
            for name, text in system.texts.items():
                rebuilt.upload(name, text)
            rebuilt.settle()
            wanted = rebuilt.contents()
        finally:
            rebuilt.server.kill()
            forget_graph(driver)
    assert {name: len(rows) for name, rows in found.items()} == {name: len(rows) for name, rows in wanted.items()}
    assert found == wanted
    assert all(wanted.values())


def play(system: System, source: random.Random) -> None:
    number = 0
    for _ in range(ROUNDS):
        victims = [*VICTIMS, *(["neo4j"] if ROUNDS > 1 else []), *(["database"] if DATABASE != "sqlite" else [])]
        source.shuffle(victims)
        for victim in victims:
            for _ in range(2):
                number += 1
                system.upload(f"file-{number}.txt", text_of(number, source))
            names = sorted(system.texts)
            if len(names) > 4:
                system.delete(source.choice(names))
            system.reprocess(source.choice(sorted(system.texts)))
            time.sleep(source.uniform(0.0, 0.7))
            system.kill(victim, source)


def forget_graph(driver: neo4j.Driver) -> None:
    driver.execute_query("MATCH (n:WindlassFile|WindlassEntity) DETACH DELETE n")
