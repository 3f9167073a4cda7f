"""``killed_requests.py EVERY``: a process is killed before each statement of a request with an idempotency key, and the
request is repeated. Prints JSON: one object for each kill.

SIGKILL hits a child that was forked for this one request. Then another child, started under the same name as a
supervisor does, receives the same request again. ``EVERY``: kill at every so manieth statement.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django

django.setup()

import httpx  # noqa: E402  Django first
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.db.backends.signals import connection_created  # noqa: E402

from tests import migrated_home  # noqa: E402
from windlass.accounts.models import Grant  # noqa: E402
from windlass.asgi import application  # noqa: E402
from windlass.files import api as files  # noqa: E402
from windlass.files.models import FileAsset, IdempotencyKey, UploadSession  # noqa: E402
from windlass.receiving import lease  # noqa: E402

INSTANCE = "web-of-the-test"
LARGE = 2 * 1024 * 1024 + 5
TUS = {"Tus-Resumable": "1.0.0"}
TUS_BODY = TUS | {"Content-Type": "application/offset+octet-stream"}


def _tus_metadata(reference: str) -> str:
    return f"reference {base64.b64encode(reference.encode()).decode()}"


def _form(reference: str) -> dict[str, Any]:
    """Each form has another boundary."""
    return {
        "path": "/files/",
        "files": [("file", ("a", b"1")), ("file", ("b", b"2"))],
        "data": {"reference": reference},
    }


#: name -> the request, by its reference, which is also its key.
CASES: dict[str, Callable[[str], dict[str, Any]]] = {
    "raw": lambda reference: {"path": f"/files/?reference={reference}", "content": b"hello"},
    "large raw": lambda reference: {"path": f"/files/?reference={reference}", "content": bytes(LARGE)},
    "form": _form,
    "tus": lambda reference: {
        "path": "/files/",
        "headers": TUS | {"Upload-Length": "5", "Upload-Metadata": _tus_metadata(reference)},
    },
    "tus with all bytes": lambda reference: {
        "path": "/files/",
        "headers": TUS_BODY | {"Upload-Length": "5", "Upload-Metadata": _tus_metadata(reference)},
        "content": b"hello",
    },
    "grant": lambda reference: {"path": "/uploads/grants/", "json": {"reference": reference}},
}


class KilledAtStatement:
    """Kills this process before its nth statement. ``count``: statements so far."""

    def __init__(self, nth: int | None) -> None:
        self.count = 0
        self._nth = nth
        self._lock = threading.Lock()
        connection_created.connect(self._watch, weak=False)

    def _watch(self, connection: Any, **_: Any) -> None:
        connection.execute_wrappers.append(self._execute)

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        with self._lock:
            if self.count == self._nth:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
        return execute(sql, params, many, context)


def send(case: str, reference: str) -> httpx.Response:
    async def call() -> httpx.Response:
        options = CASES[case](reference)
        headers = options.pop("headers", {}) | {"Idempotency-Key": reference}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as client:
            while True:
                response = await client.post(options["path"], headers=headers, **_without_path(options))
                if response.status_code != 409:
                    return response
                await asyncio.sleep(0.1)

    return asyncio.run(call())


def _without_path(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "path"}


def first_attempt(case: str, reference: str, nth: int | None) -> dict[str, Any]:
    lease.set_holder(INSTANCE)
    killer = KilledAtStatement(nth)
    response = send(case, reference)
    return {"status": response.status_code, "statements": killer.count}


def second_attempt(case: str, reference: str) -> dict[str, Any]:
    lease.set_holder(INSTANCE)
    for leases in (files.UPLOAD_LEASES, files.CHUNK_CLAIMS, files.KEY_CLAIMS):
        leases.release_all(INSTANCE)
    response = send(case, reference)
    owned = {"reference": reference}
    uploads = UploadSession.objects.filter(**owned)
    return {
        "case": case,
        "status": response.status_code,
        "replayed": "Idempotency-Replayed" in response.headers,
        "location": response.headers.get("Location", "").rpartition("/uploads/")[2],
        "files": FileAsset.objects.filter(**owned).count(),
        "grants": Grant.objects.filter(**owned).count(),
        "living_uploads": [str(each.id) for each in uploads.filter(status__in=["active", "completed"])],
        "done": IdempotencyKey.objects.get(key=reference).done,
    }


def in_child(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any] | None:
    """Return what ``work`` returned in a forked child; None if the child was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            os.write(writer, json.dumps(work(*arguments)).encode())
        except BaseException as error:
            os.write(writer, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as result:
        text = result.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def kills(every: int) -> Iterator[dict[str, Any]]:
    for case in CASES:
        whole = in_child(first_attempt, case, str(uuid.uuid4()), None)
        assert whole is not None
        assert whole.get("status") in (200, 201), whole
        for nth in range(0, whole["statements"], every):
            reference = str(uuid.uuid4())
            survived = in_child(first_attempt, case, reference, nth)
            yield {"nth": nth, "killed": survived is None} | (in_child(second_attempt, case, reference) or {})
        answered = str(uuid.uuid4())
        in_child(first_attempt, case, answered, None)  # only the answer is lost
        yield {"nth": whole["statements"], "killed": True} | (in_child(second_attempt, case, answered) or {})


if __name__ == "__main__":
    if "DATABASE_URL" not in os.environ:
        migrated_home.prepare(Path(os.environ["WINDLASS_HOME"]))
    call_command("migrate", verbosity=0)
    connections.close_all()  # no child may inherit one
    print(json.dumps(list(kills(int(sys.argv[1])))))
