"""The service level: the shared row, who evaluates it, the call that pins it, and what maintenance refuses."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient
from windlass import asgi
from windlass.events import api as events
from windlass.events import level_reader
from windlass.events.level_reader import LevelReader
from windlass.events.models import ServiceLevelState
from windlass.http.server.asgi_extensions import DRAINS_BODY
from windlass.kernel.clock import now
from windlass.operations import level_evaluator
from windlass.operations.component_checks import CheckResult, CheckState
from windlass.operations.level_evaluator import LevelEvaluator
from windlass.processing import api as processing
from windlass.processing.registry import installed
from windlass.processing.service_features import STEPS
from windlass.resilience.service_level import FEATURES, Observation, ServiceLevel

pytest_plugins = ["tests.integration.record_plane"]

PATH = "/error-handling/service-level"


@pytest.fixture(autouse=True)
def since(records_home: Path) -> Iterator[int]:
    """No row before the test and none after it. Returns the id of the last event."""
    _remove_row()
    yield events.last_id()
    _remove_row()


def _remove_row() -> None:
    ServiceLevelState.objects.all().delete()
    events.current_service_level()


def events_since(since: int) -> list[tuple[str, bool]]:
    told = events.Event.objects.filter(id__gt=since, type="system.level").order_by("id")
    assert all(event.owner == events.SYSTEM and event.data["message"] for event in told)
    return [(event.data["level"], event.data["automatic"]) for event in told]


def evaluate(evaluator: LevelEvaluator) -> events.LevelStatus:
    return asyncio.run(evaluator.evaluate())


class Components:
    """The components of an installation, as the checks find them."""

    def __init__(self, **states: str) -> None:
        self.states = {"database": "ok", "workers.intake": "ok", **states}

    async def check(self) -> Mapping[str, CheckResult]:
        return {
            name: CheckResult(name, CheckState(state), f"{name} is {state}.", 1.0, "", required=False)
            for name, state in self.states.items()
        }

    def evaluator(self, **options: Any) -> LevelEvaluator:
        return LevelEvaluator(check=self.check, **options)


def let_pass(seconds: float) -> None:
    """Move what the row says of the components into the past."""
    row = ServiceLevelState.objects.get()
    for document in row.health.values():
        document["since"] -= seconds
    row.save()


# The evaluator


def test_the_level_falls_after_two_evaluations_and_rises_after_a_while(since: int) -> None:
    components = Components(scanner="ok")
    evaluator = components.evaluator()
    assert evaluate(evaluator).level == "full"
    components.states["scanner"] = "failed"
    assert evaluate(evaluator).level == "full"
    let_pass(1)
    fallen = evaluate(evaluator)
    assert (fallen.level, fallen.automatic) == ("degraded", True)
    assert "The malware scanner: failed since" in fallen.reason
    assert "scanner is failed" in fallen.reason
    components.states["scanner"] = "ok"
    assert evaluate(evaluator).level == "degraded"
    let_pass(10)
    assert evaluate(evaluator).level == "full"
    assert events_since(since) == [("degraded", True), ("full", True)]


def test_an_evaluation_without_a_change_writes_nothing_but_the_claim(since: int) -> None:
    evaluator = Components().evaluator()
    evaluate(evaluator)
    before = ServiceLevelState.objects.values().get()
    for _ in range(5):
        evaluate(evaluator)
    assert ServiceLevelState.objects.values().get() == before
    assert events_since(since) == []


def test_one_of_many_evaluators_has_the_claim() -> None:
    events.claim_evaluation("before")
    ServiceLevelState.objects.update(evaluator_until=now() - timedelta(seconds=1))
    together, claimed = threading.Barrier(8), []

    def claim(number: int) -> None:
        from django.db import connection

        together.wait()
        try:
            if events.claim_evaluation(f"evaluator {number}"):
                claimed.append(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 1
    assert events.claim_evaluation(f"evaluator {claimed[0]}")


def test_a_web_process_takes_over_from_a_scheduler_that_died_or_stopped() -> None:
    scheduler, web = Components().evaluator(), Components(scanner="ok").evaluator(spare=2)
    evaluate(scheduler)
    evaluate(web)
    assert "scanner" not in events.current_service_level().components, "the scheduler evaluates"
    ServiceLevelState.objects.update(evaluator_until=now() - timedelta(seconds=1))
    evaluate(web)
    assert "scanner" not in events.current_service_level().components, "the scheduler may be late"
    ServiceLevelState.objects.update(evaluator_until=now() - timedelta(seconds=3))
    evaluate(web)
    assert "scanner" in events.current_service_level().components
    events.release_evaluation(web.holder)
    evaluate(scheduler)
    assert "scanner" not in events.current_service_level().components


def test_a_claim_from_a_clock_that_was_set_back_does_not_last() -> None:
    assert events.claim_evaluation("ahead")
    ServiceLevelState.objects.update(evaluator_until=now() + timedelta(hours=1))
    assert events.claim_evaluation("other")


def test_workers_that_are_starting_lower_nothing_but_dead_ones_stay_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    components = Components(**{"workers.intake": "failed"})
    starting = components.evaluator()
    for _ in range(2):
        assert evaluate(starting).level == "full"
        let_pass(5)
    monkeypatch.setattr(level_evaluator, "STARTING_SECONDS", 0)
    evaluate(starting)
    let_pass(5)
    assert evaluate(starting).level == "basic"
    monkeypatch.undo()
    events.release_evaluation(starting.holder)
    assert evaluate(components.evaluator()).level == "basic", "a scheduler that was restarted"


def test_a_worker_that_ran_and_died_counts_at_once() -> None:
    components = Components()
    evaluator = components.evaluator()
    evaluate(evaluator)
    components.states["workers.intake"] = "failed"
    evaluate(evaluator)
    let_pass(1)
    assert evaluate(evaluator).level == "basic"


def test_the_real_components_are_evaluated() -> None:
    status = evaluate(LevelEvaluator())
    assert {"database", "store", "broker", "disk", "sandbox"} <= status.components.keys()
    assert status.components["database"] == "ok"


# Pinning


def test_a_pin_holds_whatever_the_components_say_until_it_is_released(since: int) -> None:
    pinned = events.pin_service_level(ServiceLevel.BASIC, "The disks are changed.", "user:1")
    assert (pinned.level, pinned.automatic, pinned.pinned_by) == ("basic", False, "user:1")
    assert pinned.reason == "Pinned by hand: The disks are changed."
    components = Components(store="failed")
    evaluator = components.evaluator()
    evaluate(evaluator)
    let_pass(5)
    held = evaluate(evaluator)
    assert held.level == "basic"
    assert "The components allow no better than maintenance: The default store: failed since" in held.reason
    assert "uploads" not in processing.available_features(held), "the features stay true"
    released = events.release_service_level()
    assert (released.level, released.automatic) == ("maintenance", True)
    assert released.reason.startswith("The default store: failed since")
    assert events.release_service_level() == released, "twice is harmless"
    assert events_since(since) == [("basic", False), ("maintenance", True)]


def test_another_process_follows(since: int) -> None:
    other = LevelReader()
    assert other.status().level == "full"
    events.pin_service_level(ServiceLevel.DEGRADED, "", "somebody")
    other.forget()
    assert other.status().level == "degraded"


def test_without_the_database_a_process_reports_maintenance_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    events.pin_service_level(ServiceLevel.DEGRADED, "", "somebody")
    other = LevelReader()
    assert other.status().level == "degraded"

    def fail() -> events.LevelStatus:
        raise OperationalError("the connection was refused")

    monkeypatch.setattr(level_reader, "OUTAGE_SECONDS", 0.0)
    monkeypatch.setattr(level_reader, "read_level", fail)
    other.forget()
    away = other.status()
    assert (away.level, away.automatic, away.components["database"]) == ("maintenance", True, "failed")
    assert "has not answered" in away.reason
    monkeypatch.undo()
    other.forget()
    assert other.status().level == "degraded"


# The call


def test_staff_read_pin_and_release_the_level(user: Any, since: int) -> None:
    staff = user(staff=True)
    found = staff("GET", PATH).json()
    assert (found["level"], found["automatic"], found["reason"]) == (
        "full",
        True,
        "No component has been checked yet.",
    )
    assert "thumbnails" in found["available_features"]
    put = staff("PUT", PATH, json={"level": "basic", "reason": "Moving  house."})
    assert put.status_code == 200
    assert (put.json()["level"], put.json()["reason"]) == ("basic", "Pinned by hand: Moving house.")
    assert put.json()["pinned_by"] == staff.owner
    assert "thumbnails" not in put.json()["available_features"]
    assert staff("GET", PATH).json() == put.json()
    back = staff("PUT", PATH, json={"automatic": True}).json()
    assert (back["level"], back["automatic"], back["pinned_by"]) == ("full", True, None)
    assert events_since(since) == [("basic", False), ("full", True)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"level": "great"}, "full, degraded, basic, maintenance"),
        ({"level": "FULL"}, "full, degraded, basic, maintenance"),
        ({"level": 1}, "full, degraded, basic, maintenance"),
        ({}, "full, degraded, basic, maintenance"),
        ({"automatic": False}, "automatic: true"),
        ({"level": "full", "automatic": True}, "either level"),
        ({"level": "full", "reason": 5}, "500"),
        ({"level": "full", "reason": "x" * 501}, "500"),
    ],
)
def test_other_bodies_are_refused_with_what_is_allowed(user: Any, body: Any, expected: str, since: int) -> None:
    answer = user(staff=True)("PUT", PATH, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-field")
    assert expected in answer.json()["detail"]
    assert not ServiceLevelState.objects.exists()


def test_others_may_neither_read_nor_pin_it(user: Any, anybody: ApiClient, configure: Any) -> None:
    configure(AUTH_MODE="required")
    for client, status in ((user(), 403), (anybody, 401)):
        assert client("GET", PATH).status_code == status
        assert client("PUT", PATH, json={"level": "full"}).status_code == status
    assert not ServiceLevelState.objects.exists()


def test_the_admin_pins_and_releases_it() -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.test import Client

    evaluate(Components().evaluator())
    boss = get_user_model().objects.create_superuser(f"boss-{uuid.uuid4().hex[:8]}")
    reader = get_user_model().objects.create_user(f"reader-{uuid.uuid4().hex[:8]}", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_servicelevelstate"))
    page = "/admin/windlass_events/servicelevelstate/"
    for user, action, expected in (
        (reader, "pin_basic", ""),
        (boss, "pin_basic", "basic"),
        (boss, "follow_components", ""),
    ):
        client = Client(headers={"host": "localhost"})
        client.force_login(user)
        client.post(page, {"action": action, "_selected_action": ["1"]})
        assert ServiceLevelState.objects.get().pinned_level == expected


@pytest.mark.parametrize(("feature", "steps"), STEPS.items())
def test_a_feature_has_the_level_of_its_steps(feature: str, steps: tuple[str, ...]) -> None:
    for name in steps:
        assert FEATURES[feature].least == installed()[name].about.runs_down_to


# Maintenance


async def _call(
    method: str, target: str, headers: Mapping[str, str], body: bytes | None
) -> tuple[int, dict[str, str], bytes]:
    """Call the application. ``body`` None: the client never sends a byte of it."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in {"Host": "localhost", **headers}.items()
        ],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1234),
        "extensions": {DRAINS_BODY: {}},
    }
    if body:
        scope["headers"].append((b"content-length", str(len(body)).encode()))
    sent: list[Any] = []
    messages = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(asgi.application(scope, receive, send), 30)
    start = next(message for message in sent if message["type"] == "http.response.start")
    received = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], received, b"".join(message.get("body", b"") for message in sent[1:])


def call(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = b"") -> Any:
    return asyncio.run(_call(method, target, headers or {}, body))


FORM = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1000000"}
LONG = {"Content-Length": "1000000000"}
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000000"}
JSON = {"Content-Type": "application/json"}
TUS_DATA = {**TUS, "Content-Length": "1000000", "Content-Type": "application/offset+octet-stream"}
CHUNKS = b'{"filename": "a", "total_size": 5, "mime_type": "text/plain"}'
MEDIA = b'{"file_name": "a.mp4", "file_size": 9, "content_type": "video/mp4"}'


def grant() -> str:
    answer = call("POST", "/uploads/grants", JSON, json.dumps({"profile": "default", "max_size": 10**9}).encode())
    assert answer[0] == 201, answer
    return str(json.loads(answer[2])["url"]).split("localhost")[-1]


@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        pytest.param("POST", "/files?filename=a.bin", LONG, None, id="raw body"),
        pytest.param("PUT", "/files/a.bin", LONG, None, id="PUT"),
        pytest.param("POST", "/files", FORM, None, id="form"),
        pytest.param("POST", "/files/batch", FORM, None, id="batch"),
        pytest.param("POST", "/files", TUS, b"", id="tus"),
        pytest.param("POST", "/files", TUS_DATA, None, id="tus with data"),
        pytest.param("POST", "/files", {**TUS, "Upload-Concat": "partial"}, b"", id="tus part"),
        pytest.param("POST", "/files", {**LONG, "Upload-Complete": "?1"}, None, id="IETF"),
        pytest.param("POST", "/files", {**LONG, "Upload-Complete": "?0"}, None, id="IETF in parts"),
        pytest.param("POST", "/api/v1/upload/init", JSON, CHUNKS, id="chunks"),
        pytest.param("POST", "/api/v1/media/upload/init", JSON, MEDIA, id="media"),
        pytest.param("POST", "/api/v1/media/upload/simple", FORM, None, id="media simple"),
        pytest.param("POST", "/api/v1/media/upload/images", FORM, None, id="media images"),
        pytest.param("POST", "GRANT", LONG, None, id="grant"),
    ],
)
def test_maintenance_refuses_new_uploads_of_every_dialect_before_their_bytes(
    method: str, target: str, headers: dict[str, str], body: bytes | None
) -> None:
    target = grant() if target == "GRANT" else target
    events.pin_service_level(ServiceLevel.MAINTENANCE, "The disks are changed.", "somebody")
    status, replied, content = call(method, target, headers, body)
    assert status == 503, content
    assert int(replied["retry-after"]) > 0
    problem = json.loads(content)
    assert (problem["type"], problem["service_level"]) == ("/problems/uploads-paused", "maintenance")
    assert "The disks are changed." in problem["detail"]


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/s3/multipart", b'{"filename": "a.mp4", "type": "video/mp4", "metadata": {"size": "9"}}'),
        ("GET", "/s3/params?filename=a.txt&type=text/plain&metadata%5Bsize%5D=9", b""),
    ],
)
def test_maintenance_refuses_direct_uploads(method: str, target: str, body: bytes) -> None:
    events.pin_service_level(ServiceLevel.MAINTENANCE, "The disks are changed.", "somebody")
    status, replied, content = call(method, target, JSON, body)
    assert (status, int(replied["retry-after"]) > 0) == (503, True)
    assert "The disks are changed." in json.loads(content)["error"]


def test_in_maintenance_admitted_uploads_finish_and_files_are_read_and_deleted() -> None:
    patch = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    parts = []
    for _ in range(2):
        created = call("POST", "/files", {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Concat": "partial"})
        parts.append(created[1]["location"].split("localhost")[-1])
    whole = call("POST", "/files", {"Tus-Resumable": "1.0.0", "Upload-Length": "5"})[1]["location"].split("localhost")[
        -1
    ]
    chunked = call("POST", "/api/v1/upload/init", JSON, CHUNKS)
    upload_id = json.loads(chunked[2])["upload_id"]
    events.pin_service_level(ServiceLevel.MAINTENANCE, "", "somebody")
    for location in (*parts, whole):
        assert call("PATCH", location, patch, b"hello")[0] == 204
    concat = {"Tus-Resumable": "1.0.0", "Upload-Concat": f"final;{' '.join(parts)}"}
    assert call("POST", "/files", concat)[0] == 201, "it is made of uploads that were admitted"
    assert call("PUT", f"/api/v1/upload/{upload_id}/chunks/0", {}, b"hello")[0] == 200
    completed = call("POST", "/api/v1/upload/complete", JSON, json.dumps({"upload_id": upload_id}).encode())
    assert completed[0] == 200
    file_id = json.loads(completed[2])["file_id"]
    assert call("GET", "/files")[0] == 200
    assert call("GET", f"/files/{file_id}")[0] == 200
    assert call("DELETE", f"/files/{file_id}")[0] == 204


@pytest.mark.parametrize("level", [ServiceLevel.DEGRADED, ServiceLevel.BASIC])
def test_other_levels_take_uploads(level: ServiceLevel) -> None:
    events.pin_service_level(level, "", "somebody")
    assert call("POST", "/files?filename=a.txt", {}, b"hello")[0] == 201


def test_a_full_disk_is_still_answered_with_its_figures() -> None:
    """Maintenance by the disk alone is decided for each store, where the figures are known."""
    for seconds in (0, 5):
        events.record_evaluation({"disk": Observation("impaired", "1 byte is free.")})
        let_pass(seconds)
    status = events.record_evaluation({"disk": Observation("impaired")})
    assert status.level == "maintenance"
    assert "uploads" not in processing.available_features(status)
    assert call("POST", "/files?filename=a.txt", {}, b"hello")[0] == 201, "this disk has space"
