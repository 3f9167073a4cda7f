"""Dead letters of a step that always fails, on SQLite and on PostgreSQL with Redis: only settings differ."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.serving import run
from tests.process.wire import connect, eventually, wait_until_processed

TASKS = "/error-handling/failed-tasks"
FILES, RETRIES_PER_SECOND = 12, 2


def failed_tasks(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = http.get(TASKS, params=query)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


@pytest.fixture(params=["sqlite", "postgres"])
def services(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    database, broker = request.getfixturevalue("postgres"), request.getfixturevalue("redis")
    return {"DATABASE_URL": database, "CELERY_BROKER_URL": broker}


def test_dead_letters_are_retried_until_they_succeed(
    make_server: Callable[..., ServerProcess], services: dict[str, str], tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    settings = services | {
        "JOB_MAX_ATTEMPTS": "2",
        "JOB_BACKOFF_SECONDS": "0.1",
        "SWEEP_SECONDS": "0.5",
        "DEAD_RETRY_PER_MINUTE": str(60 * RETRIES_PER_SECOND),
        "HAWSER_MENDED": str(mended),
        **step_package.install(tmp_path / "plugins", step_package.STUBBORN),
    }
    server = make_server(**settings)
    with connect(server) as http:
        bad = [http.post("/files/?filename=a.txt", content=b"STUBBORN %d" % n).json()["id"] for n in range(FILES)]
        assert {wait_until_processed(http, file)["status"] for file in bad} == {"FAILED"}
        tasks = failed_tasks(http, step="stubborn", error_class="TransientError", mime_type="text/*")
        assert {task["file_id"] for task in tasks} == set(bad)

        # One dies again, with its whole history.
        first = tasks[0]
        answer = http.post("/error-handling/retry-tasks", json={"task_ids": [first["task_id"], "nonsense"]})
        assert answer.json()["results"] == {first["task_id"]: "queued", "nonsense": "not_found"}
        again = eventually(
            lambda: [task for task in failed_tasks(http) if task["task_id"] == first["task_id"] and task["retries"]]
        )[0]
        assert [(each["retry"], each["number"]) for each in again["attempts"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
        assert again["attempts"][2]["request_id"] == answer.headers["X-Request-ID"]
        assert wait_until_processed(http, first["file_id"])["status"] == "FAILED"

        # Once the cause is mended all succeed, one after the other, although a worker is killed. A new file
        # does not wait for them.
        mended.touch()
        started = time.monotonic()
        retried = run("dead", "retry", "--all", home=server.home, **settings)
        assert (retried.returncode, retried.stdout) == (0, f"{FILES} queued\n"), retried.stderr
        new = http.post("/files/?filename=new.txt", content=b"new").json()["id"]
        assert wait_until_processed(http, new)["status"] == "READY"
        os.kill(server.worker_pid(), signal.SIGKILL)
        for file in bad:
            eventually(lambda file=file: http.get(f"/files/{file}/").json()["status"] == "READY")
        assert time.monotonic() - started > (FILES - 1) / RETRIES_PER_SECOND - 1
        assert failed_tasks(http) == []
        statistics = http.get("/error-handling/statistics").json()
        assert statistics["retries"] == {"attempted": FILES + 1, "succeeded": FILES}
        assert statistics["by_step"]["stubborn"] >= 2 * FILES + 2

        # One is deleted.
        mended.unlink()
        last = http.post("/files/?filename=a.txt", content=b"STUBBORN last").json()["id"]
        assert wait_until_processed(http, last)["status"] == "FAILED"
        (task,) = failed_tasks(http)
        assert http.delete(f"{TASKS}/{task['task_id']}").status_code == 204
        assert http.get(f"{TASKS}/{task['task_id']}").status_code == 404
        assert wait_until_processed(http, last)["status"] == "FAILED"
