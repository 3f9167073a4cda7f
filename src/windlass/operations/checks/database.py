"""The database of Windlass's tables: that it answers and can be written, its migrations, its clock, known damage."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import DatabaseError
from django.db.migrations.executor import MigrationExecutor

from windlass import conf
from windlass.database.connection import connection
from windlass.database.outage import is_outage
from windlass.files import api as files
from windlass.jobs import api as jobs
from windlass.kernel.clock import now
from windlass.operations.checks.check import CheckFailed, CheckState, Finding

log = structlog.get_logger(__name__)


def check_database() -> Finding:
    try:
        jobs.prove_writable()
    except DatabaseError as error:
        if is_outage(error):
            raise
        log.warning("health.database_not_writable", error=" ".join(str(error).split()))
        raise CheckFailed("It answers, but cannot be written.") from error
    return Finding("It can be written and read.")


def check_migrations() -> Finding:
    missing = count_missing_migrations()
    if missing:
        raise CheckFailed(f"{missing} migrations are not applied: run `windlass migrate`.", "0 missing")
    return Finding("All are applied.", limit="0 missing")


def count_missing_migrations() -> int:
    executor = MigrationExecutor(connection())
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def check_clock() -> Finding:
    """Leases, schedules and breakers compare times of several machines, so their clocks must agree."""
    limit = conf.get().clock_skew_limit_seconds
    if connection().vendor == "sqlite":
        return Finding("The database uses this machine's clock.", limit=f"{limit:g} s")
    skew = _skew_seconds()
    detail = f"It differs from the database's by {abs(skew):.3f} s."
    return Finding(detail, CheckState.OK if abs(skew) <= limit else CheckState.IMPAIRED, f"{limit:g} s")


def _skew_seconds() -> float:
    """The database's clock minus this machine's, as of the middle of the query."""
    with connection().cursor() as cursor:
        before = now()
        cursor.execute("SELECT clock_timestamp()")
        of_database: datetime = cursor.fetchone()[0]
        after = now()
    return (of_database - (before + (after - before) / 2)).total_seconds()


def check_content() -> Finding:
    """The server is ready with damaged files: the others are served."""
    damaged = files.damaged_blobs().count()
    if damaged:
        detail = f"{damaged} stored files are damaged and not served: `windlass verify --list` names them."
        return Finding(detail, CheckState.IMPAIRED, "0 damaged")
    return Finding("No stored file is known to be damaged.", limit="0 damaged")
