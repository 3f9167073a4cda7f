"""Print the plan of each hot statement as JSON, by the name of the call that makes it; run in a process of its own.

The database is small, so that sequential scans, and for lists sorts, are turned off in PostgreSQL: what remains is
whether an index serves the statement.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402  after the set-up
from django.db import connection  # noqa: E402

from benchmarks.growth import fill  # noqa: E402
from windlass.events import api as events  # noqa: E402
from windlass.events.models import Event  # noqa: E402
from windlass.files import admin as files_admin  # noqa: E402
from windlass.files import api as files  # noqa: E402
from windlass.files import concatenation, deletion, uploads  # noqa: E402
from windlass.files.models import FileAsset, UploadSession  # noqa: E402
from windlass.http.rest import file_pages  # noqa: E402
from windlass.http.rest.file_list import FileQuery, list_page  # noqa: E402
from windlass.jobs import api as jobs  # noqa: E402
from windlass.kernel.clock import now  # noqa: E402
from windlass.kernel.principals import Principal  # noqa: E402

FILES = 2_000
#: One with few of the files, one with most of them, and one who sees those of all.
OWNER, LARGEST, STAFF = Principal(owner="user:3"), Principal(owner=fill.OWNER), Principal(owner="user:1", staff=True)


def page(principal: Principal = OWNER, **parameters: Any) -> Callable[[], object]:
    return lambda: list_page(FileQuery(**parameters), principal)


def calls() -> Mapping[str, Callable[[], object]]:
    _, following = list_page(FileQuery(limit=5), OWNER)
    assert following is not None
    admin = files_admin.FileAssetAdmin(FileAsset, None)  # type: ignore[arg-type]  no site is asked
    return {
        "list": page(),
        "list, next page": page(cursor=following.partition("cursor=")[2]),
        "list, by name": page(sort="name"),
        "list, by size": page(sort="-size"),
        "list, status": page(status=["FAILED"]),
        "list, two statuses": page(status=["FAILED", "REJECTED"]),
        "list, type": page(mime_type=fill.RARE_TYPE),
        "list, group of types": page(mime_type="video/*"),
        "list, kind": page(kind="audio"),
        "list, reference": page(reference=fill.REFERENCE),
        "list, part of a name": page(LARGEST, q=fill.RARE_TEXT),
        "list, trash": page(trashed=True),
        "every owner, status": page(STAFF, status=["FAILED"]),
        "every owner, type": page(STAFF, mime_type=fill.RARE_TYPE),
        "every owner, reference": page(STAFF, reference=fill.REFERENCE),
        "every owner, part of a name": page(STAFF, q=fill.RARE_TEXT),
        "sweep, expired uploads": lambda: list(uploads.expired_uploads()),
        "sweep, ended uploads": lambda: list(uploads.uploads_ended_before(now())),
        "sweep, concatenations": lambda: concatenation.unfinished_concatenations(),
        "sweep, direct uploads": lambda: files.direct_uploads_to_check("s3"),
        "sweep, expired claims": jobs.expired_claims,
        "sweep, retention": lambda: (list(files.expired_files()), list(files.files_to_release())),
        "orphans, is an object named": lambda: deletion._is_named("local", "nothing"),
        "check of blobs": lambda: files.check_blobs(seconds=0),
        "queues": jobs.queue_statuses,
        "operations, uploads": lambda: list(files.unfinished_uploads()[:10]),
        "prune jobs": lambda: jobs.prune(1000),
        "prune events": lambda: events.prune(1000),
        "events of an owner": lambda: list(Event.objects.filter(owner=OWNER.owner, id__gt=100).order_by("id")[:50]),
        "admin, uploads": lambda: list(UploadSession.objects.order_by("-created_at", "-id")[:50]),
        "admin, checksum": lambda: list(
            FileAsset.objects.filter(admin.text_condition(FileAsset.objects.all(), "0" * 64))
        ),
        "detected types": lambda: files.detected_types(OWNER.owner),
        "job of a file": lambda: jobs.find_claimable(uuid.uuid4(), "nobody"),
    }


def plans_of(call: Callable[[], object]) -> Sequence[str]:
    """The plans of the statements that read."""
    found: list[str] = []

    def explain(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("( ").startswith(("SELECT", "WITH")) and "sqlite_master" not in sql:
            found.append(plan(sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(explain):
        call()
    return found


def plan(sql: str, parameters: Any) -> str:
    with connection.cursor() as cursor:
        cursor = getattr(cursor, "cursor", cursor)  # past the wrapper
        if connection.vendor == "postgresql":
            cursor.execute("EXPLAIN (COSTS OFF) " + sql, parameters)
            return "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("EXPLAIN QUERY PLAN " + sql, parameters or ())
        return "\n".join(row[3] for row in cursor.fetchall())


def main() -> None:
    call_command("migrate", verbosity=0)
    fill.fill(FILES)
    file_pages.WALKED = 100  # fewer than there are: the index of names is asked
    plans = {}
    for name, call in calls().items():
        if connection.vendor == "postgresql":
            avoid_scans(and_sorts=name.startswith(("list", "every owner")))
        plans[name] = plans_of(call)
    json.dump(plans, sys.stdout)


def avoid_scans(*, and_sorts: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(f"SET enable_sort = {'off' if and_sorts else 'on'}")


if __name__ == "__main__":
    main()
