"""Dead letters through the API, the commands, the admin and the sweep, as rows of a real database."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.integration.asgi_client import REQUEST_ID, ApiClient, make_file

pytest_plugins = ["tests.integration.record_plane"]

User = Callable[..., ApiClient]
TASKS = "/error-handling/failed-tasks"
RETRY = "/error-handling/retry-tasks"


@pytest.fixture(autouse=True)
def _alone(records_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts without jobs, and sends no notification."""
    from windlass.jobs.api import Job

    monkeypatch.setattr("windlass.jobs.notify.notify_workers", lambda job_id, stage: None)
    Job.objects.all().delete()
    yield
    Job.objects.all().delete()


@pytest.fixture
def staff(user: User) -> ApiClient:
    return user(staff=True)


def new_dead(
    stage: str = "describe",
    step: str = "trial",
    error_class: str = "TransientError",
    *,
    hours_ago: float = 0,
    mime_type: str = "text/plain",
    attempts: int = 2,
    message: str = "The tide is out.",
) -> Any:
    """A failed file with a dead letter of as many failed attempts, each of a second."""
    from windlass.files.api import FileStatus
    from windlass.jobs.api import Attempt, Job, JobState
    from windlass.kernel.clock import now

    asset = make_file(
        f"owner-{uuid.uuid4()}", b"abc", status=FileStatus.FAILED, gate_passed=True, stage=stage, mime_type=mime_type
    )
    end = now() - timedelta(hours=hours_ago)
    job = Job.objects.create(
        stage=stage,
        file_id=asset.id,
        state=JobState.DEAD,
        due_at=end,
        attempts=attempts,
        max_attempts=attempts,
        lease_epoch=attempts,
        last_error=message,
        dead_at=end,
        dead_step=step,
        dead_error_class=error_class,
    )
    for number in range(1, attempts + 1):
        ended = end - timedelta(seconds=10 * (attempts - number))
        Attempt.objects.create(
            job=job,
            number=number,
            epoch=number,
            worker="worker-1",
            outcome="failed",
            step=step,
            error_class=error_class,
            message=message,
            request_id="an-upload",
            started_at=ended - timedelta(seconds=1),
            ended_at=ended,
        )
    return job


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["task_id"] for task in answer.json()["results"]]


def problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"/problems/{slug}"
    return document


class TestList:
    def test_a_failed_task_has_all_its_attempts(self, staff: ApiClient) -> None:
        from windlass.files.api import FileAsset

        job = new_dead()
        answer = staff("GET", TASKS)
        (task,) = answer.json()["results"]
        assert answer.json()["next"] is None
        attempts = task.pop("attempts")
        file = FileAsset.objects.get(id=job.file_id)
        assert task == {
            "task_id": str(job.id),
            "file_id": str(job.file_id),
            "filename": file.original_filename,
            "owner": file.owner,
            "size": 3,
            "stage": "describe",
            "step": "trial",
            "error_class": "TransientError",
            "message": "The tide is out.",
            "retries": 0,
            "first_failed_at": attempts[0]["ended_at"],
            "last_failed_at": attempts[1]["ended_at"],
        }
        assert attempts[0] | {"started_at": "", "ended_at": ""} == {
            "retry": 0,
            "number": 1,
            "outcome": "failed",
            "step": "trial",
            "started_at": "",
            "ended_at": "",
            "seconds": 1.0,
            "error_class": "TransientError",
            "message": "The tide is out.",
            "worker": "worker-1",
            "request_id": "an-upload",
        }
        assert datetime.fromisoformat(attempts[0]["started_at"]).tzinfo is not None
        assert staff("GET", f"{TASKS}/{job.id}").json() == task | {"attempts": attempts}

    def test_the_file_of_a_failed_task_may_be_gone(self, staff: ApiClient) -> None:
        from windlass.files.api import FileAsset

        job = new_dead()
        FileAsset.objects.filter(id=job.file_id).delete()
        (task,) = staff("GET", TASKS).json()["results"]
        assert (task["filename"], task["owner"], task["size"]) == (None, None, None)

    def test_long_messages_are_shortened_in_the_list_only(self, staff: ApiClient) -> None:
        job = new_dead(message="x" * 2000)
        (task,) = staff("GET", TASKS).json()["results"]
        assert [len(task["message"]), len(task["attempts"][0]["message"])] == [500, 500]
        assert len(staff("GET", f"{TASKS}/{job.id}").json()["attempts"][1]["message"]) == 2000

    def test_filters(self, staff: ApiClient) -> None:
        old = new_dead("intake", "checksum", "StoreError", hours_ago=48, mime_type="image/png")
        new = new_dead("describe", "trial", "TransientError", hours_ago=1)
        for query, expected in {
            "": [new, old],
            "stage=intake": [old],
            "step=trial": [new],
            "step=": [],
            "error_class=StoreError": [old],
            "error_class=StoreError&stage=describe": [],
            "mime_type=image/*": [old],
            "mime_type=TEXT/plain": [new],
            "older_than_hours=24": [old],
            "newer_than_hours=24": [new],
            "newer_than_hours=0.5": [],
            "older_than_hours=0.5&newer_than_hours=24.5": [new],
        }.items():
            assert ids(staff("GET", f"{TASKS}?{query}")) == [str(job.id) for job in expected], query

    def test_pages_are_whole_whatever_is_added_meanwhile(self, staff: ApiClient) -> None:
        from windlass.jobs.api import Job

        made = [new_dead(hours_ago=number) for number in range(5)]
        same = Job.objects.get(id=made[2].id).dead_at
        Job.objects.filter(id__in=[made[1].id, made[3].id]).update(dead_at=same)
        seen: list[str] = []
        path = f"{TASKS}?limit=2&stage=describe&older_than_hours=0"
        while path:
            answer = staff("GET", path)
            seen += ids(answer)
            path = answer.json()["next"]
            new_dead()
        assert len(seen) == len(set(seen))
        assert set(seen) == {str(job.id) for job in made}

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("cursor=nonsense", "cursor"),
            ("stage=engrave", "stage"),
            ("mime_type=picture", "mime_type"),
            ("older_than_hours=-1", "older_than_hours"),
            ("older_than_hours=inf", "older_than_hours"),
            ("newer_than_hours=nan", "newer_than_hours"),
            ("newer_than_hours=soon", "newer_than_hours"),
            (f"step={'x' * 65}", "step"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, staff: ApiClient, query: str, field: str) -> None:
        assert problem(staff("GET", f"{TASKS}?{query}"), 422, "invalid-field")["field"] == field

    def test_a_wrong_stage_names_the_stages(self, staff: ApiClient) -> None:
        detail = problem(staff("GET", f"{TASKS}?stage=engrave"), 422, "invalid-field")["detail"]
        assert all(stage in detail for stage in ("intake", "describe", "derive"))

    def test_an_unknown_parameter_is_refused(self, staff: ApiClient) -> None:
        assert staff("GET", f"{TASKS}?error=x").status_code == 422

    @pytest.mark.parametrize("task_id", ["nonsense", "1", str(uuid.UUID(int=1))])
    def test_an_unknown_task_is_404(self, staff: ApiClient, task_id: str) -> None:
        for method in ("GET", "DELETE"):
            assert task_id in problem(staff(method, f"{TASKS}/{task_id}"), 404, "not-found")["detail"]

    def test_other_methods_are_405(self, staff: ApiClient) -> None:
        assert "GET" in problem(staff("PUT", TASKS), 405, "method-not-allowed")["detail"]
        problem(staff("GET", "/error-handling/nothing"), 404, "not-found")


class TestRetry:
    def test_each_id_is_answered_for_itself(self, staff: ApiClient) -> None:
        from windlass.files.api import FileAsset
        from windlass.jobs import api as jobs

        dead, upper, done = new_dead(), new_dead(), jobs.enqueue(jobs.Stage.INTAKE, uuid.uuid4())
        unknown = str(uuid.uuid4())
        asked = [str(dead.id), str(upper.id).upper(), str(done.id), unknown, "nonsense", "", "a\u00e9", 5, None, True]
        answer = staff("POST", RETRY, json={"task_ids": [*asked, str(dead.id)]})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "results": {
                str(dead.id): "queued",
                str(upper.id).upper(): "queued",
                str(done.id): "not_dead",
                **dict.fromkeys([unknown, "nonsense", "", "a\u00e9", "5", "null", "true"], "not_found"),
            },
            "queued": 2,
            "remaining": 0,
        }
        dead.refresh_from_db()
        assert (dead.state, dead.attempts, dead.retries, dead.request_id) == ("queued", 0, 1, REQUEST_ID)
        assert FileAsset.objects.get(id=dead.file_id).status == "PENDING"
        again = staff("POST", RETRY, json={"task_ids": [str(dead.id)]}).json()
        assert (again["results"], again["queued"]) == ({str(dead.id): "not_dead"}, 0)
        assert ids(staff("GET", TASKS)) == []

    def test_all(self, staff: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
        from windlass.http.rest import error_handling
        from windlass.jobs.api import Job

        monkeypatch.setattr(error_handling, "MAX_RETRIED", 60)
        dead = [new_dead(hours_ago=number, attempts=1) for number in range(70)]
        answer = staff("POST", RETRY, json={"all": True}).json()
        assert (answer["queued"], answer["remaining"]) == (60, 10)
        assert set(answer["results"]) == {str(job.id) for job in dead[10:]}, "those given up first"
        answer = staff("POST", RETRY, json={"all": True}).json()
        assert (answer["queued"], answer["remaining"]) == (10, 0)
        assert staff("POST", RETRY, json={"all": True}).json() == {"results": {}, "queued": 0, "remaining": 0}
        due = sorted(Job.objects.values_list("due_at", flat=True))
        pauses = {round((later - earlier).total_seconds(), 3) for earlier, later in pairwise(due)}
        assert pauses == {1.0}, "60 in a minute, over batches and calls"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"all": False},
            {"all": True, "task_ids": []},
            {"all": "yes"},
            {"task_ids": "x"},
            {"task_ids": ["x"] * 1001},
            {"task_ids": [["x"]]},
        ],
    )
    def test_a_wrong_body_is_422_with_what_is_allowed(self, staff: ApiClient, body: dict[str, Any]) -> None:
        problem(staff("POST", RETRY, json=body), 422, "invalid-field")

    def test_too_many_ids_are_refused_with_the_limit(self, staff: ApiClient) -> None:
        document = problem(staff("POST", RETRY, json={"task_ids": ["x"] * 1001}), 422, "invalid-field")
        assert "1000" in document["detail"]
        assert document["limit"] == 1000

    def test_no_ids_are_no_error(self, staff: ApiClient) -> None:
        assert staff("POST", RETRY, json={"task_ids": []}).json()["results"] == {}


class TestDelete:
    def test_a_failed_task_is_deleted_and_its_file_stays(self, staff: ApiClient) -> None:
        from windlass.files.api import FileAsset
        from windlass.jobs.api import Attempt

        job = new_dead()
        assert staff("DELETE", f"{TASKS}/{job.id}").status_code == 204
        problem(staff("DELETE", f"{TASKS}/{job.id}"), 404, "not-found")
        assert not Attempt.objects.filter(job_id=job.id).exists()
        assert FileAsset.objects.get(id=job.file_id).status == "FAILED"

    def test_a_task_that_is_not_dead_is_409(self, staff: ApiClient) -> None:
        from windlass.jobs.api import Job

        job = new_dead()
        staff("POST", RETRY, json={"task_ids": [str(job.id)]})
        document = problem(staff("DELETE", f"{TASKS}/{job.id}"), 409, "conflict")
        assert "queued" in document["detail"]
        assert Job.objects.filter(id=job.id).exists()
        assert problem(staff("GET", f"{TASKS}/{job.id}"), 404, "not-found")


class TestPermissions:
    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", TASKS), ("DELETE", f"{TASKS}/x"), ("POST", RETRY), ("GET", "/error-handling/statistics")],
    )
    def test_only_staff_may(self, user: User, configure: Callable[..., None], method: str, path: str) -> None:
        configure(AUTH_MODE="required")
        assert user()(method, path).status_code == 403
        assert ApiClient(user()._app)(method, path).status_code == 401


class TestStatistics:
    def test_failures_by_step_error_and_hour(self, staff: ApiClient) -> None:
        new_dead(step="trial", error_class="TransientError")
        new_dead(step="", error_class="", attempts=1, hours_ago=2)
        new_dead(step="checksum", error_class="StoreError", hours_ago=30)
        found = staff("GET", "/error-handling/statistics").json()
        assert (found["window_hours"], found["total"]) == (24, 3)
        assert found["by_step"] == {"trial": 2, "none": 1}
        assert found["by_error"] == {"TransientError": 2, "none": 1}
        assert len(found["by_hour"]) == 25
        assert sum(hour["count"] for hour in found["by_hour"]) == 3
        hours = [datetime.fromisoformat(hour["hour"]) for hour in found["by_hour"]]
        assert {later - earlier for earlier, later in pairwise(hours)} == {timedelta(hours=1)}
        assert found["retries"] == {"attempted": 0, "succeeded": 0}
        assert staff("GET", "/error-handling/statistics?window_hours=48").json()["total"] == 5

    def test_retries(self, staff: ApiClient) -> None:
        from tests.claims import try_claim
        from windlass.jobs import api as jobs

        first, second = new_dead(), new_dead()
        staff("POST", RETRY, json={"task_ids": [str(first.id), str(second.id)]})
        assert staff("GET", "/error-handling/statistics").json()["retries"] == {"attempted": 0, "succeeded": 0}
        jobs.Job.objects.update(due_at=first.dead_at)
        for job, outcome in ((first, "done"), (second, "failed")):
            claim = try_claim(job.id, "worker-1")
            assert claim is not None
            if outcome == "done":
                jobs.finish(claim)
            else:
                jobs.dead_letter(claim, ValueError("again"))
        found = staff("GET", "/error-handling/statistics").json()
        assert found["retries"] == {"attempted": 2, "succeeded": 1}
        assert found["by_error"] == {"TransientError": 4, "ValueError": 1}

    @pytest.mark.parametrize("value", ["0", "745", "day", "1.5", "-1"])
    def test_a_wrong_window_is_refused(self, staff: ApiClient, value: str) -> None:
        detail = problem(staff("GET", f"/error-handling/statistics?window_hours={value}"), 422, "invalid-field")[
            "detail"
        ]
        assert "from 1 to 744" in detail


class TestCommands:
    @pytest.fixture
    def dead(self, records_home: Path) -> Callable[..., tuple[int, str]]:
        def invoke(*arguments: str, typed: str = "") -> tuple[int, str]:
            from windlass.cli import app

            ended = CliRunner().invoke(app, ["dead", *arguments, "--home", str(records_home)], input=typed)
            if ended.exception is not None and not isinstance(ended.exception, SystemExit):
                return 2, f"{type(ended.exception).__name__}: {ended.exception}"
            return ended.exit_code, ended.stdout

        return invoke

    def test_list_and_show(self, dead: Callable[..., tuple[int, str]]) -> None:
        from windlass.files.api import FileAsset

        job, other = new_dead(message="bad\x1b[31m news"), new_dead("derive", "previews", hours_ago=3)
        code, text = dead("list")
        first, second = text.splitlines()
        assert code == 0
        assert first.split()[0] == str(job.id)
        assert "trial  TransientError" in first
        file = FileAsset.objects.get(id=job.file_id)
        assert f"{job.file_id}  {file.original_filename}  {file.owner}  3 bytes  " in first
        assert "\x1b" not in text
        assert str(other.id) in second
        assert dead("list", "--stage", "derive", "--json")[1].count("\n") == 1
        assert json.loads(dead("list", "--older-than", "2", "--json")[1])["task_id"] == str(other.id)
        assert dead("list", "--limit", "1")[1].startswith(str(job.id))
        shown = dead("show", str(job.id))[1]
        assert "attempt 2" in shown
        assert "an-upload" in shown
        assert json.loads(dead("show", str(job.id), "--json")[1])["attempts"][0]["number"] == 1
        code, text = dead("show", str(uuid.UUID(int=1)))
        assert code == 2
        assert "windlass dead list" in text

    def test_retry(self, dead: Callable[..., tuple[int, str]]) -> None:
        from windlass.jobs.api import Job

        made = [new_dead(), new_dead(), new_dead("derive", "previews"), new_dead(mime_type="image/png")]
        unknown = str(uuid.uuid4())
        code, text = dead("retry", str(made[0].id), unknown)
        assert code == 1
        assert text.splitlines() == [f"{made[0].id}  queued", f"{unknown}  not_found", "1 queued"]
        assert dead("retry", "--step", "previews") == (0, "1 queued\n")
        assert dead("retry", "--type", "image/*", "--json")[1].count('"queued"') == 1
        assert dead("retry", "--all") == (0, "1 queued\n")
        assert set(Job.objects.values_list("state", flat=True)) == {"queued"}

    @pytest.mark.parametrize("command", ["retry", "delete"])
    def test_nothing_is_changed_without_a_selection(self, dead: Callable[..., tuple[int, str]], command: str) -> None:
        from windlass.jobs.api import Job

        job = new_dead()
        assert dead(command)[0] == 2
        assert dead(command, str(job.id), "--all")[0] == 2
        assert dead(command, "nonsense")[0] == 2
        assert Job.objects.get(id=job.id).state == "dead"

    def test_delete(self, dead: Callable[..., tuple[int, str]]) -> None:
        from windlass.jobs.api import Job

        made = [new_dead(), new_dead(hours_ago=5), *(new_dead("derive", attempts=1) for _ in range(60))]
        assert dead("delete", str(made[0].id)) == (0, "1 deleted\n")
        assert dead("delete", str(made[0].id)) == (1, "0 deleted\n")
        assert dead("delete", "--older-than", "4", typed="n\n")[0] == 1
        assert Job.objects.filter(id=made[1].id).exists()
        assert dead("delete", "--older-than", "4", "--yes") == (0, "1 deleted\n")
        assert dead("delete", "--all", "--yes", "--json") == (0, '{"deleted": 60}\n')
        assert not Job.objects.exists()

    def test_export(self, dead: Callable[..., tuple[int, str]], tmp_path: Path, staff: ApiClient) -> None:
        made = [new_dead(hours_ago=number) for number in range(3)]
        documents = [json.loads(line) for line in dead("export")[1].splitlines()]
        assert [each["task_id"] for each in documents] == [str(job.id) for job in made]
        assert documents == staff("GET", TASKS).json()["results"]
        path = tmp_path / "dead.jsonl"
        assert dead("export", "--newer-than", "1.5", "-o", str(path)) == (0, "2 exported\n")
        assert len(path.read_text().splitlines()) == 2
        assert dead("export", "-o", str(tmp_path / "no" / "where"))[0] == 2


class TestAdmin:
    def page(self, permissions: Sequence[str] | None = None) -> Any:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Permission
        from django.test import Client

        users, name = get_user_model().objects, f"admin-{uuid.uuid4().hex}"
        account = users.create_superuser(name) if permissions is None else users.create_user(name, is_staff=True)
        if permissions is not None:
            account.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(headers={"host": "localhost"})
        client.force_login(account)
        return client

    LIST = "/admin/windlass_jobs/job/"

    def test_filters_and_attempts_are_shown(self) -> None:
        job, client = new_dead(), self.page()
        page = client.get(f"{self.LIST}?state__exact=dead&dead_step=trial")
        assert page.status_code == 200
        assert str(job.id) in page.text
        assert str(job.id) not in client.get(f"{self.LIST}?dead_step=other").text
        page = client.get(f"{self.LIST}{job.id}/change/").text
        for value in ("trial", "TransientError", "The tide is out.", "worker-1", "an-upload", "1.0"):
            assert value in page

    def test_retry_and_delete_are_actions(self) -> None:
        from windlass.jobs.api import Job

        client, job, other = self.page(), new_dead(), new_dead()
        selected = {"action": "retry_selected", "_selected_action": [str(job.id)]}
        assert "1 queued again." in client.post(self.LIST, selected, follow=True).text
        assert Job.objects.get(id=job.id).state == "queued"
        selected = {"action": "delete_selected_dead_letters", "_selected_action": [str(job.id), str(other.id)]}
        assert "1 deleted; 1 of the selected jobs" in client.post(self.LIST, selected, follow=True).text
        assert list(Job.objects.all()) == [job]

    def test_actions_need_their_permissions(self) -> None:
        from windlass.jobs.api import Job

        client, job = self.page(["view_job"]), new_dead()
        assert client.get(self.LIST).status_code == 200
        for action in ("retry_selected", "delete_selected_dead_letters", "delete_selected"):
            client.post(self.LIST, {"action": action, "_selected_action": [str(job.id)]}, follow=True)
        assert Job.objects.get(id=job.id).state == "dead"
        client = self.page(["view_job", "change_job"])
        client.post(self.LIST, {"action": "retry_selected", "_selected_action": [str(job.id)]}, follow=True)
        assert Job.objects.get(id=job.id).state == "queued"


class TestRetention:
    def test_dead_letters_past_their_retention_are_deleted(self, configure: Callable[..., None]) -> None:
        from windlass.jobs.api import Job
        from windlass.operations import sweep

        configure(DEAD_JOB_RETENTION_DAYS="2")
        new_dead(hours_ago=49)
        kept = new_dead(hours_ago=47)
        label = sweep.LABELS["dead_letters_deleted"]
        assert [each.count for each in sweep.clean_up(dry_run=True) if each.label == label] == [1]
        assert Job.objects.count() == 2
        assert sweep.housekeeping().counts["dead_letters_deleted"] == 1
        assert list(Job.objects.all()) == [kept]

    def test_a_dead_letter_that_was_retried_is_not_deleted(self, configure: Callable[..., None]) -> None:
        from windlass.jobs import api as jobs
        from windlass.operations import sweep

        configure(DEAD_JOB_RETENTION_DAYS="2")
        job = new_dead(hours_ago=49)
        jobs.retry_dead_letters([job.id])
        sweep.housekeeping()
        assert jobs.Job.objects.filter(id=job.id).exists()


def test_metrics_count_dead_letters_by_stage(records_home: Path) -> None:
    from prometheus_client import generate_latest

    from windlass.operations.metrics import registry

    new_dead("derive"), new_dead("derive"), new_dead("intake")
    text = generate_latest(registry).decode()
    assert 'windlass_jobs{stage="derive",state="dead"} 2.0' in text
    assert 'windlass_jobs{stage="intake",state="dead"} 1.0' in text


def test_the_migration_fills_what_existing_dead_letters_lack(records_home: Path) -> None:
    from django.apps import apps
    from django.db import connection

    from windlass.jobs.api import Job

    job, without = new_dead(), new_dead(attempts=0)
    Job.objects.update(dead_at=None, dead_step="", dead_error_class="")
    with connection.schema_editor() as editor:
        import_module("windlass.jobs.migrations.0003_dead_letters").fill(apps, editor)
    filled = Job.objects.get(id=job.id)
    assert (filled.dead_at, filled.dead_step, filled.dead_error_class) == (filled.updated_at, "trial", "TransientError")
    assert (Job.objects.get(id=without.id).dead_step, Job.objects.get(id=without.id).dead_at is None) == ("", False)


def test_dead_letters_that_the_version_before_wrote_are_completed_by_the_sweep(staff: ApiClient) -> None:
    """It knows none of the columns. Until the sweep they are not listed, and nothing fails because of them."""
    from windlass.jobs.api import Job
    from windlass.operations import sweep

    known, job = new_dead(), new_dead()
    Job.objects.filter(id=job.id).update(dead_at=None, dead_step="", dead_error_class="")
    assert ids(staff("GET", TASKS)) == [str(known.id)]
    assert sweep.sweep().counts["dead_letters_completed"] == 1
    assert set(ids(staff("GET", f"{TASKS}?step=trial&error_class=TransientError"))) == {str(known.id), str(job.id)}
    assert Job.objects.get(id=job.id).dead_at == job.updated_at
