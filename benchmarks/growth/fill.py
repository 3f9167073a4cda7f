"""Rows of a large installation, made by the database itself: one INSERT … SELECT for each table.

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
#: Seconds between two files.
PACE = 10
#: How many files have each of what is rare, however many files there are: pages of the same length are compared.
RARE_FILES = 100
#: Part of the name of rare files, and of every file.
RARE_TEXT, COMMON_TEXT = "needle", "holiday"
RARE_TYPE, RARE_STATUS, REFERENCE = "model/gltf-binary", "FAILED", "rare order"
#: Types by the part of the files that have them, in percent.
_TYPES = {"image/jpeg": 60, "application/pdf": 20, "text/plain": 15, "video/mp4": 4, "audio/mpeg": 1}
_STEPS = ("checksum", "type", "image_facts")
#: Rows for each file, and files for each open session.
EVENTS, FILES_PER_SESSION = 10, 10
#: How long the sessions stay open (days): for as long as a filled database is kept.
OPEN_DAYS = 365


def identifier(kind: str, number: int) -> str:
    """An id that looks random, as those of the server are."""
    return hashlib.md5(f"{kind} {number}".encode(), usedforsecurity=False).hexdigest()


def fill(files: int) -> None:
    """Add so many files to an empty database, with their blobs, jobs, steps, events, and a tenth as many open sessions;
    then bring the statistics of the planner up to date."""
    from windlass.events.models import Event
    from windlass.files.models import Blob, FileAsset, StepRun, UploadSession
    from windlass.jobs.models import Job

    with _without_triggers():
        _insert(Blob, _blob(), files)
        _insert(FileAsset, _file(files // RARE_FILES), files)
        _insert(UploadSession, _session(), files // FILES_PER_SESSION)
        _insert(Job, _job(), files)
        _insert(StepRun, _step(), files * len(_STEPS))
        _insert(Event, _event(), files * EVENTS)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if _is_postgresql() else "ANALYZE")


def moment_of(number: int) -> datetime:
    return SINCE + timedelta(seconds=PACE * number)


def _is_postgresql() -> bool:
    return connection.vendor == "postgresql"


# What follows returns SQL. ``n`` is the number of the row.


def _id(kind: str, number: str = "n") -> str:
    made = f"md5('{kind} ' || ({number}))"
    return f"CAST({made} AS uuid)" if _is_postgresql() else made


def _owner(number: str = "n") -> str:
    return f"CASE WHEN ({number}) % 10 < 7 THEN '{OWNER}' ELSE 'user:' || (({number}) % 31) END"


def _moment(number: str = "n") -> str:
    if _is_postgresql():
        return f"timestamptz '{SINCE.isoformat()}' + ({number}) * interval '{PACE} seconds'"
    return f"datetime({SINCE.timestamp():.0f} + {PACE} * ({number}), 'unixepoch')"


def _time(moment: datetime) -> str:
    return f"timestamptz '{moment.isoformat()}'" if _is_postgresql() else f"'{moment.replace(tzinfo=None)}'"


def _digits(number: str, count: int) -> str:
    """``number`` with leading zeros."""
    return f"substr(CAST({10**count} + ({number}) AS text), 2)"


def _checksum() -> str:
    return "md5('first ' || n) || md5('second ' || n)"


def _type(rarity: int) -> str:
    cases, below = [f"WHEN n % {rarity} = 2 THEN '{RARE_TYPE}'"], 0
    for name, percent in _TYPES.items():
        below += percent
        cases.append(f"WHEN n * 37 % 100 < {below} THEN '{name}'")
    return f"CASE {' '.join(cases)} END"


def _size() -> str:
    return "1000 + n % 9000000"


def _blob() -> Mapping[str, str]:
    return {
        "id": _id("blob"),
        "owner": _owner(),
        "store": "'local'",
        "key": "'objects/' || md5('object ' || n)",
        "size": _size(),
        "sha256": _checksum(),
        "created_at": _moment(),
    }


def _file(rarity: int) -> Mapping[str, str]:
    """One file in ``rarity`` has what is rare."""
    rare = f"CASE WHEN n % {rarity} = 4 THEN '{RARE_TEXT}' ELSE 'picture' END"
    name = f"'{COMMON_TEXT} ' || {_digits('n % 977', 3)} || ' ' || {rare} || ' ' || {_digits('n', 8)} || '.jpg'"
    return {
        "id": _id("file"),
        "owner": _owner(),
        "upload_id": _id("upload"),
        "blob_id": _id("blob"),
        "status": f"CASE WHEN n % {rarity} = 1 THEN '{RARE_STATUS}' ELSE 'READY' END",
        "gate_passed": "TRUE",
        "original_filename": name,
        "search_name": name,
        "size": _size(),
        "profile": "'default'",
        "reference": f"CASE WHEN n % {rarity} = 3 THEN '{REFERENCE}' WHEN n % 5 = 0 THEN 'order ' || (n / 20) END",
        "mime_type": _type(rarity),
        "checksum": _checksum(),
        "extra_attributes": """'{"orientation": 1}'""",
        "progress": "100",
        "created_at": _moment(),
        "updated_at": _moment(),
    }


def _session() -> Mapping[str, str]:
    now = datetime.now(UTC)
    return {
        "id": _id("session"),
        "owner": _owner(),
        "dialect": "'tus'",
        "profile": "'default'",
        "filename": "'open ' || n || '.bin'",
        "size": "10000000",
        "offset": "5000000",
        "reserved": "10000000",
        "store": "'local'",
        "store_key": "'objects/' || md5('open ' || n)",
        "created_at": _time(now),
        "updated_at": _time(now),
        "expires_at": _time(now + timedelta(days=OPEN_DAYS)),
    }


def _job() -> Mapping[str, str]:
    return {
        "id": _id("job"),
        "stage": "'intake'",
        "file_id": _id("file"),
        "state": "'done'",
        "due_at": _moment(),
        "attempts": "1",
        "max_attempts": "5",
        "created_at": _moment(),
        "updated_at": _moment(),
    }


def _step() -> Mapping[str, str]:
    steps = " ".join(f"WHEN {number} THEN '{step}'" for number, step in enumerate(_STEPS))
    return {
        "file_id": _id("file", f"n / {len(_STEPS)}"),
        "run": "1",
        "stage": "'intake'",
        "step": f"CASE n % {len(_STEPS)} {steps} END",
        "position": f"n % {len(_STEPS)}",
        "state": "'done'",
        "seconds": "0.01",
    }


def _event() -> Mapping[str, str]:
    file, position = f"n / {EVENTS}", f"n % {EVENTS}"
    return {
        "type": f"CASE {position} WHEN 0 THEN 'file.ready' ELSE 'file.step' END",
        "owner": _owner(file),
        "file_id": f"CASE WHEN {position} < 6 THEN {_id('file', file)} END",
        "upload_id": f"CASE WHEN {position} > 5 THEN {_id('upload', file)} END",
        "at": _moment(file),
        "data": """'{"progress": 100}'""",
    }


def _insert(model: type[models.Model], expressions: Mapping[str, str], count: int) -> None:
    """Insert so many rows. Attributes without an expression have their defaults."""
    quote = connection.ops.quote_name
    fields = [each for each in model._meta.concrete_fields if not isinstance(each, models.AutoField)]
    columns = ", ".join(quote(str(each.column)) for each in fields)
    usual = [each for each in fields if each.attname not in expressions]
    values = ", ".join(expressions[each.attname].replace("%", "%%") if each not in usual else "%s" for each in fields)
    numbers = (
        "generate_series(0, %s - 1) AS n"
        if _is_postgresql()
        else "(WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s - 1) "
        "SELECT n FROM numbers)"
    )
    with connection.cursor() as cursor, _without_indexes(cursor, model._meta.db_table):
        statement = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) SELECT {values} FROM {numbers}"
        cursor.execute(statement, [*(_default(each) for each in usual), count])


def _default(field: Any) -> Any:
    value = field.get_default()
    return json.dumps(value) if isinstance(field, models.JSONField) and value is not None else value


@contextmanager
def _without_triggers() -> Iterator[None]:
    """Let PostgreSQL not compare each row with those that it refers to."""
    if not _is_postgresql():
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield
        cursor.execute("RESET session_replication_role")


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Drop the indexes of a table of PostgreSQL that are no constraints, and build them afterwards: that is faster."""
    if not _is_postgresql():
        yield
        return
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
