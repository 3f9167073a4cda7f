"""``python -m tests.integration.upload_statements``: the SQL statements of uploads, by request; prints JSON.

The database is that of the environment. Statements that begin and end transactions are not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import django_home, migrated_home

if "DATABASE_URL" not in os.environ:
    migrated_home.prepare(Path(os.environ["WINDLASS_HOME"]))
django_home.set_up_here()

import httpx  # noqa: E402  after Django
from django.core.management import call_command  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

from windlass.asgi import application  # noqa: E402
from windlass.receiving import lease  # noqa: E402

CONTENT = b"content of a small file\n" * 400
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}
_OF_TRANSACTIONS = ("BEGIN", "COMMIT", "PRAGMA")

_seen: list[str] = []


def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if not sql.startswith(_OF_TRANSACTIONS):
        _seen.append(sql)
    return execute(sql, params, many, context)


def watch(connection: Any, **_: Any) -> None:
    connection.execute_wrappers.append(note)


@contextmanager
def recorded(found: dict[str, list[str]], name: str) -> Iterator[None]:
    _seen.clear()
    yield
    found[name] = [sql for sql in _seen if "_service" not in sql]  # another thread reads the service level


async def upload_all(found: dict[str, list[str]]) -> None:
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for round_name in ("first", ""):  # what is loaded once is loaded by the first round
            await upload(client, found, round_name)


async def upload(client: httpx.AsyncClient, found: dict[str, list[str]], prefix: str) -> None:
    length = {"Upload-Length": str(len(CONTENT))}
    with recorded(found, f"{prefix}create"):
        created = await client.post("/files/", headers=TUS | length)
        assert created.status_code == 201, created.text
    with recorded(found, f"{prefix}half"):
        half = await patch(client, created.headers["location"], 0, CONTENT[:100])
    assert half.status_code == 204, half.text
    with recorded(found, f"{prefix}complete"):
        whole = await patch(client, created.headers["location"], 100, CONTENT[100:])
    assert whole.status_code == 204, whole.text
    other = await client.post("/files/", headers=TUS | length)
    with recorded(found, f"{prefix}at once"):
        at_once = await patch(client, other.headers["location"], 0, CONTENT)
    assert at_once.status_code == 204, at_once.text
    with recorded(found, f"{prefix}together"):
        together = await client.post("/files/", headers=TUS | length | BYTES, content=CONTENT)
    assert together.status_code == 201, together.text
    with recorded(found, f"{prefix}raw"):
        raw = await client.put(f"/files/{uuid.uuid4()}.txt", content=CONTENT)
    assert raw.status_code == 201, raw.text
    with recorded(found, f"{prefix}refused"):
        refused = await patch(client, f"/uploads/{uuid.uuid4()}", 0, CONTENT)
    assert refused.status_code == 404, refused.text


async def patch(client: httpx.AsyncClient, location: str, offset: int, content: bytes) -> httpx.Response:
    return await client.patch(location, headers=TUS | BYTES | {"Upload-Offset": str(offset)}, content=content)


if __name__ == "__main__":
    lease.POLL_SECONDS = 600.0  # the statements of the keeper of leases belong to no request
    call_command("migrate", verbosity=0)
    connection_created.connect(watch)
    from django.db import connections

    connections.close_all()
    statements: dict[str, list[str]] = {}
    asyncio.run(upload_all(statements))
    print(json.dumps(statements))
