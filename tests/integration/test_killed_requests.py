"""A process killed at any statement of a request with an idempotency key, and the request sent again: one effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Kills in CI are at every so manieth statement of each request; KILL_EVERY=1 kills at all of them.
EVERY = {"sqlite": 9, "postgresql": 20}
#: What one request creates: files, grants and upload sessions.
EFFECTS = {"raw": (1, 0, 1), "large raw": (1, 0, 1), "form": (2, 0, 2), "grant": (0, 1, 0)}


@pytest.fixture(params=["sqlite", "postgresql"])
def kills(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    database = {"DATABASE_URL": request.getfixturevalue("migrated_postgres")} if request.param == "postgresql" else {}
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"} | database
    environment |= {"WINDLASS_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    every = os.environ.get("KILL_EVERY", str(EVERY[request.param]))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.killed_requests", every],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
def test_a_request_that_is_repeated_after_a_kill_has_one_effect(kills: list[dict[str, Any]]) -> None:
    assert {each["case"] for each in kills} == {*EFFECTS, "tus", "tus with all bytes"}
    assert sum(each["killed"] for each in kills) >= 15
    for each in kills:
        assert (each["status"], each["done"]) == (201, True), each
        effect = each["files"], each["grants"], len(each["living_uploads"])
        if each["case"] in EFFECTS:
            assert effect == EFFECTS[each["case"]], each
        else:  # the upload may be continued where the answer says
            assert effect[1:] == (0, 1), each
            assert each["files"] <= 1
            assert each["living_uploads"] == [each["location"]]
    replayed = [each for each in kills if each["replayed"]]
    assert {each["case"] for each in replayed} >= {"raw", "form", "tus", "grant"}
