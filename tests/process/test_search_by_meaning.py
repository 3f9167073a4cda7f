"""A PDF, a DOCX, a scan and a note are found by a question in other words, and leave nothing when they are deleted."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests import document_samples, services
from tests.process.conftest import ServerProcess
from tests.process.test_client import windlass
from windlass.client import Client

#: Gives every row of every table, with the table's name.
Rows = Callable[[], Iterator[tuple[str, bytes]]]

#: Two names in the note that mean the same.
PAIR = {"Harbour School Ltd.", "Harbour Schools Inc."}
#: Seconds after READY within which a file is found.
FOUND_WITHIN = 5.0
#: Tables that go on naming a deleted file by its id for a time: the journal, the audit log, and ended uploads.
HISTORY = {
    "windlass_events_event",
    "windlass_events_auditentry",
    "windlass_events_pendingauditentry",
    "windlass_files_uploadsession",
}
PROFILES = "[default]\nocr = true\ntrash_hours = 0\n"


@dataclass(frozen=True)
class Document:
    """``question`` asks for what the content says, in other words; ``word`` is in the content only."""

    name: str
    content: bytes
    question: str
    word: str


DOCUMENTS = (
    Document(
        "a.pdf",
        document_samples.text_pdf("In May a plumber repaired the boiler."),
        "Who fixed the heating system?",
        "boiler",
    ),
    Document(
        "b.docx",
        document_samples.docx(("Rent falls due each quarter.", "The Harbour Quarter Inc. sends reminders.")),
        "When do tenants pay for their flat?",
        "quarter",
    ),
    Document(
        "c.pdf",
        document_samples.scanned_pdf(words="Our cat was vaccinated\nagainst rabies"),
        "Did the pet get its injection?",
        "vaccinated",
    ),
    Document(
        "d.md",
        b"# Journey\n\nWe take the first train to Lisbon at dawn, for the Harbour School Ltd.\n"
        b"The Harbour Schools Inc. pays.\n",
        "How do they travel to Portugal?",
        "lisbon",
    ),
)


def settings_of(model: Path, directory: Path) -> dict[str, str]:
    profiles = directory / "profiles.toml"
    profiles.write_text(PROFILES)
    meaning = {"EMBEDDINGS": "local", "EMBEDDINGS_MODEL": str(model), "GRAPH": "rules"}
    return {"WINDLASS_PROFILES": str(profiles), "WORKER_CONCURRENCY": "1"} | meaning


@pytest.mark.slow
def test_on_sqlite(make_server: Callable[..., ServerProcess], sentence_model: Path, tmp_path: Path) -> None:
    server = make_server(**settings_of(sentence_model, tmp_path))
    ids = find(server, tmp_path)
    assert similar_names(server, "--dry-run") == similar_names(server) == [PAIR]
    delete(server, ids, lambda: sqlite_rows(server.home))


@pytest.mark.slow
def test_on_postgresql(
    make_server: Callable[..., ServerProcess],
    pgvector_server: services.Postgres,
    sentence_model: Path,
    tmp_path: Path,
) -> None:
    url = pgvector_server.new_database()
    server = make_server(**settings_of(sentence_model, tmp_path), DATABASE_URL=url)
    delete(server, find(server, tmp_path), lambda: postgresql_rows(url))


def find(server: ServerProcess, directory: Path) -> list[str]:
    """Upload the files, ask for each, and return their ids."""
    with Client(server.url) as client:
        for document in DOCUMENTS:
            (directory / document.name).write_bytes(document.content)
        ids = [client.upload(directory / document.name).id for document in DOCUMENTS]
        assert [client.wait(each, 90).status for each in ids] == ["READY"] * len(ids)
        waits = {document.name: seconds_until_found(client, document) for document in DOCUMENTS}
    assert max(waits.values()) < FOUND_WITHIN, waits
    told = windlass(server, "search", "--json", DOCUMENTS[0].question).stdout
    assert json.loads(told)["results"][0]["file"]["original_filename"] == DOCUMENTS[0].name
    return ids


def delete(server: ServerProcess, ids: list[str], rows: Rows) -> None:
    """Delete the files, and search for what they said in every row of every table."""
    assert tables_that_hold_words(rows) >= {"windlass_knowledge_passage", "windlass_knowledge_fileentity"}
    with Client(server.url) as client:
        for each in ids:
            client.delete(each)
    assert server.command("sweep").returncode == 0
    assert tables_that_hold_words(rows) == set()
    named = [form for each in ids for form in (each.encode(), each.replace("-", "").encode())]
    assert {table for table, row in rows() if any(form in row for form in named)} <= HISTORY


def similar_names(server: ServerProcess, *options: str) -> list[set[str]]:
    """What `windlass graph merge-similar` says that it merges."""
    done = server.command("graph", "merge-similar", "--json", *options)
    assert done.returncode == 0, done.stderr
    pairs = [json.loads(line) for line in done.stdout.splitlines()]
    return [{each["name"], each["counts_as_name"]} for each in pairs]


def tables_that_hold_words(rows: Rows) -> set[str]:
    words = [document.word.encode() for document in DOCUMENTS]
    return {table for table, row in rows() if any(word in row.lower() for word in words)}


def seconds_until_found(client: Client, document: Document) -> float:
    """Until it is the nearest file to its question."""
    began = time.monotonic()
    while time.monotonic() - began < 60:
        found = client.search(document.question, mode="vector", limit=1).results
        if found and found[0].file.original_filename == document.name:
            break
        time.sleep(0.05)
    return time.monotonic() - began


def sqlite_rows(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, those of FTS5's own tables as well."""
    (path,) = home.glob("*.sqlite3")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            for row in database.execute(f'SELECT * FROM "{name}"'):
                yield name, b"|".join(each if isinstance(each, bytes) else str(each).encode() for each in row)


def postgresql_rows(url: str) -> Iterator[tuple[str, bytes]]:
    with psycopg.connect(url) as database:
        found = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in found:
            for (row,) in database.execute(f'SELECT t::text FROM "{name}" t'):  # type: ignore[call-overload]
                yield name, row.encode()
