"""How many SQL statements an upload takes. None is read before it is changed, and there are no savepoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

Statements = dict[str, list[str]]

#: What a change adds besides its own rows: the owner's account, an entry of the audit log, the events.
BESIDES = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def statements(request: pytest.FixtureRequest, tmp_path: Path) -> Statements:
    database = {"DATABASE_URL": request.getfixturevalue("migrated_postgres")} if request.param == "postgresql" else {}
    inherited = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.upload_statements"],
        env=inherited | database | {"WINDLASS_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    # On PostgreSQL, events are numbered under a lock, and their readers notified by the database.
    notices = ("SELECT pg_advisory_xact_lock", "SELECT pg_notify")
    found: Statements = json.loads(ended.stdout)
    return {name: [sql for sql in each if not sql.startswith(notices)] for name, each in found.items()}


def verbs(statements: list[str]) -> str:
    return " ".join(sql.split(" ", 1)[0] for sql in statements)


def test_each_request_takes_few_statements(statements: Statements) -> None:
    file = ["blob", "file", "job"]
    assert len(statements["create"]) == len(["session"]) + BESIDES
    assert len(statements["half"]) == len(["lease", "offset"])
    assert len(statements["complete"]) == len(["lease", "session", *file]) + BESIDES
    assert len(statements["at once"]) == len(["session", *file]) + BESIDES
    assert len(statements["together"]) == len(["created", "session", *file]) + 2 * BESIDES
    assert len(statements["raw"]) == len(["session", *file]) + BESIDES
    for name in ("create", "half", "complete", "at once", "together", "raw"):
        assert "SELECT" not in verbs(statements[name]), name
        assert "SAVEPOINT" not in verbs(statements[name]), name


def test_an_unknown_upload_is_refused_after_two_statements(statements: Statements) -> None:
    assert verbs(statements["refused"]) == "UPDATE SELECT"
