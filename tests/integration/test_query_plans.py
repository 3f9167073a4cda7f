"""Each hot statement is answered by the index that was made for it, on either database: no test by time, but by plan
(docs/explanation/scaling.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What is in the plans of the call: the names of indexes. ``|``: either, as the planner finds cheaper.
EXPECTED: Mapping[str, Sequence[str]] = {
    "list": ["file_of_owner"],
    "list, next page": ["file_of_owner"],
    "list, by name": ["file_of_owner_by_name"],
    "list, by size": ["file_of_owner_by_size"],
    "list, status": ["file_of_owner_by_status|file_by_status_and_time"],
    "list, two statuses": ["file_of_owner_by_status|file_by_status_and_time"],
    "list, type": ["file_of_owner_by_type|file_by_type"],
    "list, group of types": ["file_of_owner_by_type"],
    "list, kind": ["file_of_owner_by_type"],
    "list, reference": ["file_of_owner_by_reference|file_by_reference_and_time"],
    "every owner, status": ["file_by_status_and_time"],
    "every owner, type": ["file_by_type"],
    "every owner, reference": ["file_by_reference_and_time"],
    "sweep, expired uploads": ["upload_by_expiry", "upload_of_one_request"],
    "sweep, ended uploads": ["upload_by_end"],
    "sweep, concatenations": ["upload_made_of_others"],
    "sweep, expired claims": ["job_by_lease|open_jobs"],
    "orphans, is an object named": [
        "one_blob_per_key|sqlite_autoindex_windlass_files_blob",
        "rendition_by_key",
        "upload_by_key",
    ],
    "check of blobs": ["blob_by_content"],
    "queues": ["open_jobs_by_cost"],
    "prune jobs": ["job_by_due"],
    "prune events": ["event_by_time"],
    "events of an owner": ["event_of_owner"],
    "admin, uploads": ["upload_by_time"],
    "admin, checksum": ["file_by_checksum"],
    "detected types": ["file_of_owner_by_type"],
}
#: SQLite does not compare the condition of a partial index with bound parameters, and so has fewer of them.
OF_ONE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "postgresql": {
        "list, trash": ["file_of_owner_in_trash"],
        "list, part of a name": ["file_by_part_of_name"],
        "every owner, part of a name": ["file_by_part_of_name"],
        "sweep, direct uploads": ["direct_upload_by_last_write"],
        "operations, uploads": ["upload_by_last_write"],
        "sweep, retention": ["file_by_release"],
    },
    "sqlite": {
        "list, part of a name": ["VIRTUAL TABLE INDEX"],
        "every owner, part of a name": ["VIRTUAL TABLE INDEX"],
        "operations, uploads": ["upload_by_expiry"],
    },
}


def plans_of(home: Path, **settings: str) -> Mapping[str, Sequence[str]]:
    environment = {**os.environ, **settings, "WINDLASS_HOME": str(home), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    command = [sys.executable, "-m", "tests.integration.query_plans"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    plans: Mapping[str, Sequence[str]] = json.loads(ended.stdout)
    return plans


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_each_hot_statement_follows_its_index(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": request.getfixturevalue("migrated_postgres")} if kind == "postgresql" else {}
    plans = plans_of(tmp_path, **settings)
    for name, indexes in (EXPECTED | OF_ONE[kind]).items():
        for index in indexes:
            named = [each for each in index.split("|") if any(each in plan for plan in plans[name])]
            assert named, (name, index, *plans[name])
    for name, found in plans.items():
        for plan in found:
            # A page that sorts what it reads would read all of it first.
            is_page = (
                "fileasset" in plan
                and name.startswith(("list", "every owner"))
                and "part of a name" not in name
                and "trash" not in name
            )
            assert not (is_page and ("->  Sort " in plan or "TEMP B-TREE FOR ORDER BY" in plan)), (name, plan)
            assert "Seq Scan on windlass_files_fileasset" not in plan, (name, plan)
