"""The graph in Neo4j: nodes ``WindlassFile`` and ``WindlassEntity``, and what is between them. Writes are idempotent.

Texts of users are parameters of the statements, never a part of them: types of entities and relations are properties.
The driver is an extra, ``windlass[neo4j]``, and is imported on use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from windlass import conf
from windlass.resilience.circuit_breaker import Breaker, BreakerOpen, breaker

if TYPE_CHECKING:
    from neo4j import ManagedTransaction, Session
    from neo4j.exceptions import Neo4jError

BREAKER = "service.neo4j"
#: Seconds of connecting, and of the retries of a transaction after errors that pass by themselves.
CONNECT_SECONDS, RETRY_SECONDS = 5.0, 5.0
#: Rows of one statement.
BATCH = 1_000

_SCHEMA = (
    "CREATE CONSTRAINT windlass_file IF NOT EXISTS FOR (f:WindlassFile) REQUIRE f.id IS UNIQUE",
    "CREATE CONSTRAINT windlass_entity IF NOT EXISTS FOR (e:WindlassEntity) REQUIRE e.id IS UNIQUE",
    "CREATE INDEX windlass_relation IF NOT EXISTS FOR ()-[r:WINDLASS_RELATED]-() ON (r.file)",
)
#: What a file said before; gives the entities that it was about.
_DELETE_MENTIONS = (
    "MATCH (:WindlassFile {id: $file})-[m:WINDLASS_MENTIONS]->(e:WindlassEntity) DELETE m RETURN collect(DISTINCT e.id)"
)
_DELETE_RELATIONS = "MATCH ()-[r:WINDLASS_RELATED {file: $file}]->() DELETE r"
_DELETE_FILE = "MATCH (f:WindlassFile {id: $file}) DETACH DELETE f"
_FILE = "MERGE (f:WindlassFile {id: $file}) SET f.name = $name, f.owner = $owner"
#: What is between nodes is created, after all of the file's was deleted: MERGE would look through everything that is
#: between two entities which many files name.
_MENTIONS = (
    "MATCH (f:WindlassFile {id: $file}) UNWIND $rows AS row "
    "MERGE (e:WindlassEntity {id: row.entity}) SET e.type = row.type, e.owner = $owner "
    "CREATE (f)-[:WINDLASS_MENTIONS {name: row.name, count: row.count, passages: row.passages}]->(e)"
)
_RELATIONS = (
    "UNWIND $rows AS row "
    "MATCH (a:WindlassEntity {id: row.source}) MATCH (b:WindlassEntity {id: row.target}) "
    "CREATE (a)-[:WINDLASS_RELATED {id: row.id, file: $file, type: row.type, passage: row.passage, "
    "confidence: row.confidence, extractor: $extractor}]->(b)"
)
_DELETE_UNNAMED = (
    "UNWIND $ids AS id MATCH (e:WindlassEntity {id: id}) WHERE NOT EXISTS { (e)<-[:WINDLASS_MENTIONS]-() } "
    "DETACH DELETE e"
)
#: The first of an entity's names, so that it does not depend on the order in which files were exported.
_NAMES = (
    "UNWIND $ids AS id MATCH (e:WindlassEntity {id: id})<-[m:WINDLASS_MENTIONS]-() "
    "WITH e, min(m.name) AS name SET e.name = name"
)
#: A write that changes nothing.
_TRIAL = "CREATE (n:WindlassFile {id: 'trial'}) DELETE n"
_DELETE_SOME = f"MATCH (n:WindlassFile|WindlassEntity) WITH n LIMIT {BATCH} DETACH DELETE n RETURN count(*)"


class Neo4jAway(Exception):
    """Neo4j does not answer, or refuses what this server asks. The message is for the operator.

    ``was_asked``: False if the circuit breaker let no call through.
    """

    def __init__(self, message: str, *, was_asked: bool = True) -> None:
        super().__init__(message)
        self.was_asked = was_asked


class WriteRefused(Exception):
    """Neo4j refuses to write one file, and accepts other writes. The message is for the operator."""


class Neo4jDatabase:
    """An open connection. Methods raise Neo4jAway."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create_schema(self) -> None:
        with _failures():
            for statement in _SCHEMA:
                self._session.run(statement).consume()

    def replace_file(
        self,
        file_id: UUID,
        values: Mapping[str, str],
        mentions: Sequence[Mapping[str, Any]],
        relations: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write what a file says, and delete what it said before, in one transaction. ``values``: ``name``, ``owner``
        and ``extractor``. Raises WriteRefused."""
        with self._write_of_file():
            self._session.execute_write(_replace, {"file": str(file_id), **values}, mentions, relations)

    def delete_file(self, file_id: UUID) -> None:
        """Raises WriteRefused."""
        with self._write_of_file():
            self._session.execute_write(_delete, {"file": str(file_id)})

    @contextmanager
    def _write_of_file(self) -> Iterator[None]:
        """One write, after whose refusal another one is tried: if that is accepted, it is this file that is refused."""
        from neo4j.exceptions import Neo4jError

        refusal: Neo4jError | None = None
        with _failures():
            try:
                yield
            except Neo4jError as error:
                refusal = error
        if refusal is not None:
            with _failures():
                self._session.execute_write(_run, _TRIAL)
            raise WriteRefused(_described(refusal)) from refusal

    def delete_some(self) -> bool:
        """Delete up to BATCH nodes of Windlass, in one transaction; False if there was none left."""
        with _failures():
            return bool(self._session.execute_write(_delete_some))


@contextmanager
def connected() -> Iterator[Neo4jDatabase]:
    """Connect to NEO4J_URL. Raises Neo4jAway."""
    import neo4j

    settings = conf.get()
    with _failures():
        driver = neo4j.GraphDatabase.driver(
            settings.neo4j_url,
            auth=(settings.neo4j_user, settings.neo4j_password) if settings.neo4j_password else None,
            connection_timeout=CONNECT_SECONDS,
            connection_acquisition_timeout=CONNECT_SECONDS * 2,
            max_transaction_retry_time=RETRY_SECONDS,
            notifications_min_severity="OFF",
            user_agent="windlass",
            telemetry_disabled=True,
        )
    with driver, driver.session(database=settings.neo4j_database or None) as session:
        yield Neo4jDatabase(session)


def breaker_names() -> list[str]:
    return [BREAKER] if conf.get().neo4j_url else []


def failed_a_moment_ago() -> bool:
    """Whether the circuit breaker lets no call through."""
    return not breaker(BREAKER).admits_calls()


@contextmanager
def _failures() -> Iterator[None]:
    """One call: its failures are counted by the circuit breaker. Raises Neo4jAway."""
    from neo4j.exceptions import DriverError, Neo4jError

    guard: Breaker = breaker(BREAKER)
    try:
        with guard.call(DriverError, Neo4jError, OSError):
            yield
    except BreakerOpen as error:
        raise Neo4jAway("Neo4j failed a moment ago.", was_asked=False) from error
    except (DriverError, Neo4jError, OSError) as error:
        raise Neo4jAway(f"Neo4j cannot be written to: {_described(error)}") from error


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _run(transaction: ManagedTransaction, statement: str) -> None:
    transaction.run(statement).consume()


def _replace(
    transaction: ManagedTransaction,
    values: dict[str, Any],
    mentions: Sequence[Mapping[str, Any]],
    relations: Sequence[Mapping[str, Any]],
) -> None:
    transaction.run(_FILE, values).consume()  # locks the node: a process whose lease has lapsed writes before or after
    before = _delete_statements(transaction, values)
    for batch in _batches(mentions):
        transaction.run(_MENTIONS, {**values, "rows": batch}).consume()
    for batch in _batches(relations):
        transaction.run(_RELATIONS, {**values, "rows": batch}).consume()
    ids = sorted({*before, *(row["entity"] for row in mentions)})
    transaction.run(_DELETE_UNNAMED, {"ids": ids}).consume()
    transaction.run(_NAMES, {"ids": ids}).consume()


def _delete(transaction: ManagedTransaction, values: dict[str, Any]) -> None:
    before = _delete_statements(transaction, values)
    transaction.run(_DELETE_FILE, values).consume()
    transaction.run(_DELETE_UNNAMED, {"ids": before}).consume()
    transaction.run(_NAMES, {"ids": before}).consume()


def _delete_statements(transaction: ManagedTransaction, values: dict[str, Any]) -> list[str]:
    """Delete what the file said; return the ids of the entities that it named."""
    record = transaction.run(_DELETE_MENTIONS, values).single(strict=True)
    transaction.run(_DELETE_RELATIONS, values).consume()
    return sorted(record[0])


def _delete_some(transaction: ManagedTransaction) -> int:
    count: int = transaction.run(_DELETE_SOME).single(strict=True)[0]
    return count


def _batches(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
