"""Rows of a large installation, written past the ORM: COPY in PostgreSQL, executemany in SQLite.

The rows are as the server writes them, without bytes in the store. One owner has seven of ten files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models

OWNER = "anonymous"
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
#: Part of the name of one file in 50,000, and of every file.
RARE_TEXT, COMMON_TEXT = "needle", "holiday"
RARE_TYPE, RARE_STATUS, REFERENCE = "model/gltf-binary", "FAILED", "order-7"
_TYPES = [*["image/jpeg"] * 60, *["application/pdf"] * 20, *["text/plain"] * 15, *["video/mp4"] * 4, "audio/mpeg"]
#: Events for each file.
EVENTS = 10
BATCH = 20_000


def identifier(kind: str, number: int) -> str:
    """An id that looks random, as those of the server are."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=16).hexdigest()


def grow(first: int, last: int) -> None:
    """Add the files from ``first`` up to ``last``, with their blobs, jobs, steps, events, and a tenth as many open
    sessions; then bring the statistics of the planner up to date."""
    from windlass.events.models import Event
    from windlass.files.models import Blob, FileAsset, StepRun, UploadSession
    from windlass.jobs.models import Job

    _write(Blob, (_blob(number) for number in range(first, last)))
    _write(FileAsset, (_file(number) for number in range(first, last)))
    _write(UploadSession, (_session(number) for number in range(first // 10, last // 10)))
    _write(Job, (_job(number) for number in range(first, last)))
    _write(StepRun, (step for number in range(first, last) for step in _steps(number)))
    _write(Event, (_event(number) for number in range(first * EVENTS, last * EVENTS)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def owner_of(number: int) -> str:
    return OWNER if number % 10 < 7 else f"user:{number % 31}"


def moment_of(number: int) -> datetime:
    return SINCE + timedelta(seconds=10 * number)


def _stored(moment: datetime) -> str:
    return str(moment if connection.vendor == "postgresql" else moment.replace(tzinfo=None))


def _moment(number: int) -> str:
    return _stored(moment_of(number))


def _blob(number: int) -> Mapping[str, Any]:
    return {
        "id": identifier("blob", number),
        "owner": owner_of(number),
        "store": "local",
        "key": f"objects/{identifier('object', number)}",
        "size": 1000 + number % 9_000_000,
        "sha256": hashlib.blake2b(str(number).encode(), digest_size=32).hexdigest(),
        "created_at": _moment(number),
    }


def _file(number: int) -> Mapping[str, Any]:
    name = f"{COMMON_TEXT} {number % 977:03} {RARE_TEXT if number % 50_000 == 4_321 else 'picture'} {number:08}.jpg"
    blob = _blob(number)
    return {
        "id": identifier("file", number),
        "owner": blob["owner"],
        "upload_id": identifier("upload", number),
        "blob_id": blob["id"],
        "status": RARE_STATUS if number % 10_000 == 1 else "READY",
        "gate_passed": True,
        "original_filename": name,
        "search_name": name,
        "size": blob["size"],
        "profile": "default",
        "reference": f"order-{number // 20 % 2_000}" if number % 5 == 0 else None,
        "mime_type": RARE_TYPE if number % 10_000 == 2 else _TYPES[number * 37 % 100],
        "checksum": blob["sha256"],
        "extra_attributes": '{"orientation": 1}',
        "progress": 100,
        "created_at": _moment(number),
        "updated_at": _moment(number),
    }


def _session(number: int) -> Mapping[str, Any]:
    now = datetime.now(UTC)
    moment = _stored(now)
    return {
        "id": identifier("session", number),
        "owner": owner_of(number),
        "dialect": "tus",
        "profile": "default",
        "filename": f"open {number}.bin",
        "size": 10_000_000,
        "offset": 5_000_000,
        "reserved": 10_000_000,
        "store": "local",
        "store_key": f"objects/{identifier('open', number)}",
        "created_at": moment,
        "updated_at": moment,
        "expires_at": _stored(now + timedelta(hours=24)),
    }


def _job(number: int) -> Mapping[str, Any]:
    due = _moment(number)
    return {
        "id": identifier("job", number),
        "stage": "intake",
        "file_id": identifier("file", number),
        "state": "done",
        "due_at": due,
        "attempts": 1,
        "max_attempts": 5,
        "created_at": due,
        "updated_at": due,
    }


def _steps(number: int) -> Iterator[Mapping[str, Any]]:
    for position, step in enumerate(("checksum", "type", "image_facts")):
        yield {
            "file_id": identifier("file", number),
            "run": 1,
            "stage": "intake",
            "step": step,
            "position": position,
            "state": "done",
            "seconds": 0.01,
        }


def _event(number: int) -> Mapping[str, Any]:
    file = number // EVENTS
    return {
        "type": "file.ready" if number % EVENTS == 0 else "file.step",
        "owner": owner_of(file),
        "file_id": identifier("file", file) if number % EVENTS < 6 else None,
        "upload_id": identifier("upload", file) if number % EVENTS > 5 else None,
        "at": _moment(file),
        "data": '{"progress": 100}',
    }


def _write(model: type[models.Model], rows: Iterator[Mapping[str, Any]]) -> None:
    """``rows`` are by attribute, and have values that the database takes as they are."""
    fields = [each for each in model._meta.concrete_fields if not isinstance(each, models.AutoField)]
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(each.column)) for each in fields)
    table = quote(model._meta.db_table)
    place = {each.attname: number for number, each in enumerate(fields)}
    usual = [None if each.primary_key else _adapted(each) for each in fields]

    def complete() -> Iterator[list[Any]]:
        for row in rows:
            values = usual.copy()
            for name, value in row.items():
                values[place[name]] = value
            yield values

    if connection.vendor == "postgresql":
        with (
            connection.cursor() as cursor,
            _without_indexes(cursor, model._meta.db_table),
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for values in complete():
                copy.write_row(values)
        return
    connection.ensure_connection()
    connection.connection.execute("BEGIN")
    connection.connection.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(fields))})", complete()
    )
    connection.connection.execute("COMMIT")


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Drop the indexes of a table that are no constraints, and build them afterwards, which is faster."""
    cursor.execute(
        "SELECT i.relname, pg_get_indexdef(i.oid) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
        "WHERE x.indrelid = %s::regclass AND NOT x.indisunique",
        [table],
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")
    yield
    cursor.execute("SET maintenance_work_mem = '1GB'")
    for _, definition in found:
        cursor.execute(definition)


def _adapted(field: Any) -> Any:
    value = field.get_default()
    return json.dumps(value) if isinstance(field, models.JSONField) and value is not None else value
