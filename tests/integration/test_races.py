"""Several processes change the same rows at once, on each kind of database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Race = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgresql"])
def race(request: pytest.FixtureRequest, tmp_path: Path) -> Race:
    """Run a function of ``concurrent_changes.py`` on a database without files and return its result."""
    database = {"DATABASE_URL": request.getfixturevalue("migrated_postgres")} if request.param == "postgresql" else {}

    def run(name: str, **settings: str) -> Any:
        home = {"WINDLASS_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
        environment = (
            {key: value for key, value in os.environ.items() if key != "DATABASE_URL"} | home | database | settings
        )
        root = Path(__file__).parents[2]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.integration.concurrent_changes", name],
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


@pytest.mark.slow
def test_concurrent_sharing_and_deletion_of_equal_files_loses_no_bytes(race: Race) -> None:
    """Files share bytes while others are deleted: no file loses its bytes, no count is wrong."""
    for found in race("sharing"):
        assert (found["wrong"], found["failed"]) == ([], [])
        assert found["files"] == 6 - found["deleted"]
        assert found["blobs"] == 1 or found["deleted"]


@pytest.mark.slow
def test_concurrent_moving_sharing_and_deletion_loses_no_bytes(race: Race, tmp_path: Path) -> None:
    """In any order: every file has its bytes in the store of its row, and no other object remains."""
    stores = tmp_path / "stores.toml"
    stores.write_text('[archive]\nmedia_root = "archive"')
    (found,) = race("moving", WINDLASS_STORES=str(stores))
    for each in found["rounds"]:
        assert (each["wrong"], each["failed"]) == ([], [])
        assert each["files"] == 6 - each["deleted"]
    assert (found["lost"], found["left"]) == ([], [])


@pytest.mark.slow
def test_concurrent_uploads_never_exceed_the_limit_of_open_ones(race: Race) -> None:
    found = race("open_uploads", MAX_OPEN_UPLOADS_PER_OWNER="7")
    assert found[:30].count("begun") == 7
    assert found[30:].count("begun") == 2
    assert sum(each.startswith("TooManyUploads: ") for each in found) == 35 - 9


@pytest.mark.slow
def test_concurrent_uploads_never_exceed_the_limit_of_one_address(race: Race) -> None:
    found = race("open_uploads_of_address", MAX_OPEN_UPLOADS_PER_ADDRESS="7")
    assert found[:30].count("begun") == 7
    assert found[30:35].count("begun") == 2
    assert sum(each.startswith("TooManyUploads: 7 uploads from this address") for each in found) == 35 - 9
    assert found[35] == "begun"


@pytest.mark.slow
def test_concurrent_uploads_never_exceed_a_quota(race: Race) -> None:
    """Fifty at once: what is kept and what is under way stay within, nothing is counted twice or forgotten."""
    for found in race("quota", QUOTA_BYTES="1000"):
        assert found["failed"] == []
        assert found["drift"] is None
        assert found["refused"] > 0
        counted = found["bytes"]
        assert counted["limit"] == 1000
        assert counted["used"] == found["kept"]
        assert 1000 - 70 < counted["used"] + counted["reserved"] <= 1000
