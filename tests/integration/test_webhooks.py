"""Webhooks with real rows, and real HTTP to a receiver on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpcore
import pytest
import structlog
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.integration.asgi_client import ApiClient
from tests.webhook_receiver import Answer, Receiver
from windlass.events import api as events
from windlass.events.api import Delivery, DeliveryState, Event, EventType, TargetRefused, WebhookEndpoint
from windlass.events.webhooks.deliveries import JITTER, retry_delay
from windlass.events.webhooks.fan_out import OWNER_GONE, delivery_id
from windlass.kernel.clock import now, rfc3339
from windlass.operations.webhooks import delivery as delivering
from windlass.operations.webhooks.connections import CheckedBackend, open_pool
from windlass.operations.webhooks.delivery import Deliverer
from windlass.processing.api import breaker_statuses
from windlass.resilience import circuit_breaker

pytest_plugins = ["tests.integration.record_plane"]

PATH = "/api/v1/webhooks"
#: Retries are due when a test says so (``make_due``).
LATER = "600"


@pytest.fixture(autouse=True)
def settings(configure: Callable[..., None]) -> Iterator[None]:
    configure(
        AUTH_MODE="required", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8,::1", WEBHOOK_RETRY_SECONDS=",".join([LATER] * 4)
    )
    yield
    WebhookEndpoint.objects.all().delete()
    circuit_breaker.reset()
    events.delete_unused_breakers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def create(user: ApiClient, url: str, *types: str, **more: Any) -> dict[str, Any]:
    answer = user("POST", f"{PATH}/", json={"url": url, "types": types or ["file.ready"], **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def record(owner: str, kind: EventType = EventType.FILE_READY, **about: Any) -> int:
    """Record an event, as the change that it reports does; returns its id."""
    with events.recording() as recorder:
        recorder.add(kind, owner=owner, **({"file_id": uuid.uuid4(), "data": {"progress": 100}} | about))
    return events.last_id()


def deliver(deliverer: Deliverer | None = None) -> None:
    asyncio.run((deliverer or Deliverer()).deliver_due())


def make_due() -> None:
    Delivery.objects.filter(state=DeliveryState.PENDING).update(due_at=now())


def deliveries(user: ApiClient, webhook: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = user("GET", f"{PATH}/{webhook['id']}/deliveries/{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


# --- the calls ------------------------------------------------------------------------------------------------------


def test_the_secret_is_shown_once(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url, "file.ready", "file.failed", "file.ready")
    assert made["types"] == ["file.ready", "file.failed"]
    assert made["enabled"] is True
    assert made["secret"].startswith("whsec_")
    shown = {name: value for name, value in made.items() if name not in ("secret", "old_secret_until")}
    assert owner("GET", f"{PATH}/{made['id']}").json() == shown
    assert owner("GET", PATH).json() == {"results": [shown], "next": None}
    changed = owner("PATCH", f"{PATH}/{made['id']}", json={"types": ["file.deleted"]})
    assert changed.json()["types"] == ["file.deleted"]
    assert "secret" not in changed.json()


def test_a_repeated_creation_is_one_webhook(user: Any, receiver: Receiver) -> None:
    owner = user()
    call: dict[str, Any] = {"json": {"url": receiver.url, "types": ["file.ready"]}, "headers": {"Idempotency-Key": "1"}}
    first, second = owner("POST", PATH, **call), owner("POST", PATH, **call)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(owner("GET", PATH).json()["results"]) == 1


def test_a_page_of_webhooks_and_of_deliveries_ends_where_it_says(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = [create(owner, receiver.url)["id"] for _ in range(3)]
    first = owner("GET", f"{PATH}?limit=2").json()
    second = owner("GET", first["next"]).json()
    assert [each["id"] for each in first["results"] + second["results"]] == made[::-1]
    assert second["next"] is None
    for _ in range(3):
        record(owner.owner)
    deliver()
    page = owner("GET", f"{PATH}/{made[0]}/deliveries?limit=2&state=delivered").json()
    rest = owner("GET", page["next"]).json()
    assert len({each["id"] for each in page["results"] + rest["results"]}) == 3
    assert owner("GET", f"{PATH}/{made[0]}/deliveries?state=dead").json()["results"] == []
    assert owner("GET", f"{PATH}/{made[0]}/deliveries?state=odd").status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"url": "https://127.0.0.2.nip/", "types": ["file.ready"]}, 422, "cannot be found"),
        ({"url": "https://10.0.0.1/", "types": ["file.ready"]}, 422, "WEBHOOK_ALLOWED_NETWORKS"),
        ({"url": "http://8.8.8.8/", "types": ["file.ready"]}, 422, "https://"),
        ({"url": "https://u:p@8.8.8.8/", "types": ["file.ready"]}, 422, "user name"),
        ({"url": "https://8.8.8.8/", "types": ["file.redy"]}, 422, "Did you mean file.ready?"),
        ({"url": "https://8.8.8.8/", "types": []}, 422, "at least one"),
        ({"url": "https://8.8.8.8/"}, 422, "types is missing"),
        ({"types": ["file.ready"]}, 422, "url is missing"),
        ({"url": 7, "types": "file.ready"}, 422, "url must be text"),
        ({"url": "https://8.8.8.8/", "types": ["system.breaker"]}, 403, "staff"),
        ({"url": "https://8.8.8.8/", "types": ["file.ready"], "all_owners": True}, 403, "staff"),
    ],
)
def test_a_bad_request_says_what_is_wrong(user: Any, body: dict[str, Any], status: int, told: str) -> None:
    answer = user()("POST", PATH, json=body)
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.text


def test_a_change_is_checked_like_a_new_webhook(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    for body, status in (
        ({"url": "https://10.0.0.1/"}, 422),
        ({"types": ["x"]}, 422),
        ({"types": ["system.breaker"]}, 403),
    ):
        assert owner("PATCH", f"{PATH}/{made['id']}", json=body).status_code == status
    assert owner("GET", f"{PATH}/{made['id']}").json()["url"] == receiver.url


def test_an_owner_has_a_limited_number(user: Any, receiver: Receiver, configure: Any) -> None:
    configure(WEBHOOK_MAX_ENDPOINTS="2")
    owner = user()
    first = create(owner, receiver.url)
    create(owner, receiver.url)
    refused = owner("POST", PATH, json={"url": receiver.url, "types": ["file.ready"]})
    assert (refused.status_code, refused.json()["limit"]) == (409, 2)
    assert owner("DELETE", f"{PATH}/{first['id']}").status_code == 204
    create(owner, receiver.url)
    create(user(), receiver.url)


def test_another_owners_webhook_does_not_exist(user: Any, receiver: Receiver) -> None:
    owner, other = user(), user()
    made = create(owner, receiver.url)
    record(owner.owner)
    deliver()
    sent = deliveries(owner, made)[0]["id"]
    theirs = create(other, receiver.url)
    of_first = f"{PATH}/{made['id']}"
    calls = [
        ("GET", of_first, None),
        ("PATCH", of_first, {"enabled": False}),
        ("DELETE", of_first, None),
        ("POST", f"{of_first}/rotate-secret", None),
        ("POST", f"{of_first}/test", None),
        ("GET", f"{of_first}/deliveries", None),
        ("POST", f"{of_first}/deliveries/{sent}/replay", None),
        ("POST", f"{PATH}/{theirs['id']}/deliveries/{sent}/replay", None),
        ("POST", f"{of_first}/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", f"{PATH}/none", None),
        ("GET", f"{PATH}/{uuid.uuid4()}", None),
    ]
    for method, path, body in calls:
        assert other(method, path, json=body).status_code == 404, path
    assert owner("GET", of_first).json()["enabled"] is True
    assert [each["id"] for each in other("GET", PATH).json()["results"]] == [theirs["id"]]
    assert len(user(staff=True)("GET", PATH).json()["results"]) == 2


# --- what is delivered ----------------------------------------------------------------------------------------------


def test_an_event_is_delivered_signed_with_its_document_and_its_request(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    with structlog.contextvars.bound_contextvars(request_id="the-cause"):
        event_id = record(owner.owner)
    record(owner.owner, EventType.FILE_STEP)
    record("user:0")
    deliver()
    (sent,) = receiver.received
    event = Event.objects.get(id=event_id)
    assert sent.document == {**events.document(event), "timestamp": rfc3339(event.at)}
    assert Webhook(made["secret"]).verify(sent.body, dict(sent.headers)) == sent.document
    assert sent.headers["webhook-id"] == str(delivery_id(uuid.UUID(made["id"]), event_id))
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["x-request-id"] == "the-cause"
    (row,) = deliveries(owner, made)
    assert (row["state"], row["event_id"], row["type"], row["file_id"]) == (
        "delivered",
        event_id,
        "file.ready",
        str(event.file_id),
    )
    (attempt,) = row["attempts"]
    assert attempt["status"] == 204
    assert attempt["error"] == ""
    assert 0 <= attempt["seconds"] < 10


def test_nothing_is_written_for_an_event_without_a_webhook(user: Any, receiver: Receiver) -> None:
    owner = user()
    create(owner, receiver.url)
    record("user:0")
    deliver()
    assert Delivery.objects.count() == 0
    assert receiver.received == []


def test_staff_receive_system_events_and_those_of_every_owner_while_they_are_staff(
    user: Any, receiver: Receiver
) -> None:
    from django.contrib.auth import get_user_model

    staff, owner = user(staff=True), user()
    create(staff, receiver.url, "system.breaker", "file.failed", all_owners=True)
    create(staff, receiver.url.replace("hook", "own"), "system.breaker", "file.failed")
    deliverer = Deliverer()
    record(owner.owner, EventType.FILE_FAILED)
    record(events.SYSTEM, EventType.SYSTEM_BREAKER, file_id=None)
    deliver(deliverer)
    assert sorted((each.path, each.document["type"]) for each in receiver.received) == [
        ("/hook", "file.failed"),
        ("/hook", "system.breaker"),
        ("/own", "system.breaker"),
    ]
    receiver.received.clear()
    get_user_model().objects.filter(pk=staff.owner.removeprefix("user:")).update(is_staff=False)
    record(owner.owner, EventType.FILE_FAILED)
    record(events.SYSTEM, EventType.SYSTEM_BREAKER, file_id=None)
    record(staff.owner, EventType.FILE_FAILED)
    deliver(deliverer)
    assert sorted((each.path, each.document["type"]) for each in receiver.received) == [
        ("/hook", "file.failed"),
        ("/own", "file.failed"),
    ]


def test_a_webhook_of_a_deactivated_user_is_disabled(user: Any, receiver: Receiver) -> None:
    from django.contrib.auth import get_user_model

    owner = user()
    made = create(owner, receiver.url)
    get_user_model().objects.filter(pk=owner.owner.removeprefix("user:")).update(is_active=False)
    record(owner.owner)
    deliver()
    assert receiver.received == []
    assert WebhookEndpoint.objects.get(id=made["id"]).disabled_reason == OWNER_GONE


def test_a_failed_delivery_is_tried_again_with_the_same_id_until_the_schedule_is_used_up(
    user: Any, receiver: Receiver
) -> None:
    owner = user()
    made = create(owner, receiver.url)
    receiver.answer = lambda path, body: Answer(500, {"Set-Cookie": "session=secret", "X-Note": "n" * 2000})
    record(owner.owner)
    deliver()
    (row,) = deliveries(owner, made)
    due = (Delivery.objects.get().due_at - now()).total_seconds()
    assert row["state"] == "pending"
    assert float(LATER) * (1 - JITTER) - 5 < due < float(LATER) * (1 + JITTER)
    for _ in range(4):
        make_due()
        deliver()
    make_due()
    deliver()
    assert len(receiver.received) == 5
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 1
    (row,) = deliveries(owner, made, "?state=dead")
    assert [each["status"] for each in row["attempts"]] == [500] * 5
    assert row["attempts"][0]["error"] == "The receiver answered with the status 500."
    head = row["attempts"][0]["reply_head"]
    assert len(head) <= 1024
    assert "X-Note: nnn" in head
    assert "session" not in head


def test_the_schedule_takes_about_a_day_and_respects_the_receiver(configure: Any) -> None:
    configure(WEBHOOK_RETRY_SECONDS="")
    delays = [retry_delay(attempts) for attempts in range(1, 12)]
    assert delays[-1] is None
    assert 0.8 * 85_000 < sum(filter(None, delays)) < 1.2 * 86_400
    assert retry_delay(1, 60) == 60
    assert retry_delay(1, 1e9) == 3600


def test_retry_after_is_respected(user: Any, receiver: Receiver, configure: Any) -> None:
    configure(WEBHOOK_RETRY_SECONDS="1")
    create(owner := user(), receiver.url)
    receiver.answer = lambda path, body: Answer(429, {"Retry-After": "900"})
    record(owner.owner)
    deliver()
    assert 890 < (Delivery.objects.get().due_at - now()).total_seconds() <= 900


def test_deliveries_that_were_written_while_the_clock_was_ahead_are_corrected(
    user: Any, receiver: Receiver, configure: Any
) -> None:
    """One keeps its delay, counted from now; a lease ends as soon as any other. What waits by the schedule stays."""
    configure(WEBHOOK_RETRY_SECONDS="7200")
    create(owner := user(), receiver.url)
    receiver.answer = lambda path, body: Answer(500)
    record(owner.owner)
    deliver()
    assert events.correct_delivery_times_ahead() == 0
    row, hour = Delivery.objects.get(), timedelta(hours=1)
    delay = row.due_at - now()
    log = [{**row.attempt_log[-1], "at": rfc3339(now() + hour)}]
    Delivery.objects.update(due_at=row.due_at + hour, attempt_log=log, lease_until=now() + hour)
    assert events.correct_delivery_times_ahead() == 2
    row.refresh_from_db()
    assert abs((row.due_at - now()) - delay) < timedelta(seconds=30)
    assert row.lease_until is not None
    assert row.lease_until < now() + timedelta(minutes=5)
    assert events.correct_delivery_times_ahead() == 0


def test_events_of_one_file_wait_for_each_other_and_no_others(user: Any, receiver: Receiver) -> None:
    """An upload and its file are one row of events: the middle one has the ids of both."""
    owner = user()
    create(owner, receiver.url, "upload.created", "file.created", "file.ready")
    upload, file = uuid.uuid4(), uuid.uuid4()
    receiver.answer = lambda path, body: Answer(500 if str(upload).encode() in body else 204)
    record(owner.owner, EventType.UPLOAD_CREATED, upload_id=upload, file_id=None)
    record(owner.owner, EventType.FILE_CREATED, upload_id=upload, file_id=file)
    record(owner.owner, EventType.FILE_READY, file_id=file)
    other = record(owner.owner)
    deliver()
    assert [each.document["id"] for each in receiver.received if each.status == 204] == [other]
    assert receiver.types.count("upload.created") == 1
    make_due()
    deliver()
    assert "file.created" not in receiver.types
    receiver.answer = lambda path, body: Answer()
    Delivery.objects.filter(event_type="upload.created").update(due_at=now())
    deliver()
    assert receiver.types[-3:] == ["upload.created", "file.created", "file.ready"]


def test_system_events_wait_for_each_other(user: Any, receiver: Receiver) -> None:
    create(user(staff=True), receiver.url, "system.breaker")
    receiver.answer = lambda path, body: Answer(500)
    first = record(events.SYSTEM, EventType.SYSTEM_BREAKER, file_id=None)
    record(events.SYSTEM, EventType.SYSTEM_BREAKER, file_id=None)
    deliver()
    make_due()
    deliver()
    assert {each.document["id"] for each in receiver.received} == {first}


def test_a_dead_delivery_lets_the_next_of_its_file_pass(user: Any, receiver: Receiver, configure: Any) -> None:
    configure(WEBHOOK_RETRY_SECONDS="600")
    create(owner := user(), receiver.url)
    file = uuid.uuid4()
    first = record(owner.owner, file_id=file)
    receiver.answer = lambda path, body: Answer(500 if json.loads(body)["id"] == first else 204)
    record(owner.owner, file_id=file)
    deliver()
    Delivery.objects.filter(event_id=first).update(due_at=now())
    deliver()
    assert [each.status for each in receiver.received] == [500, 500, 204]


def test_410_disables_the_webhook(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    file = uuid.uuid4()
    record(owner.owner, file_id=file)
    record(owner.owner, file_id=file)
    receiver.answer = lambda path, body: Answer(410)
    deliver()
    shown = owner("GET", f"{PATH}/{made['id']}").json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, delivering.GONE)
    assert [each["state"] for each in deliveries(owner, made)] == ["cancelled", "cancelled"]
    assert [each["status"] for each in deliveries(owner, made)[1]["attempts"]] == [410]
    record(owner.owner)
    deliver()
    assert len(receiver.received) == 1


def test_a_redirect_is_not_followed(user: Any, receiver: Receiver) -> None:
    create(owner := user(), receiver.url)
    receiver.answer = lambda path, body: Answer(307, {"Location": f"http://127.0.0.1:{receiver.port}/other"})
    record(owner.owner)
    deliver()
    assert [each.path for each in receiver.received] == ["/hook"]
    assert "Redirects are not followed" in Delivery.objects.get().attempt_log[0]["error"]


def test_a_disabled_webhook_receives_nothing_until_it_is_enabled_and_then_only_what_is_new(
    user: Any, receiver: Receiver
) -> None:
    owner = user()
    made = create(owner, receiver.url)
    record(owner.owner)
    deliver()
    owner("PATCH", f"{PATH}/{made['id']}", json={"enabled": False})
    missed = record(owner.owner)
    deliver()
    assert owner("POST", f"{PATH}/{made['id']}/test").status_code == 409
    again = owner("PATCH", f"{PATH}/{made['id']}", json={"enabled": True}).json()
    assert (again["enabled"], again["disabled_reason"]) == (True, None)
    new = record(owner.owner)
    deliver()
    assert [each.document["id"] for each in receiver.received[1:]] == [new]
    assert missed < new


def test_both_secrets_sign_for_a_while_after_a_rotation(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    rotated = owner("POST", f"{PATH}/{made['id']}/rotate-secret").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["old_secret_until"] is not None
    record(owner.owner)
    deliver()
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(receiver.received[0].body, dict(receiver.received[0].headers))
    WebhookEndpoint.objects.update(old_secret_until=now() - timedelta(seconds=1))
    record(owner.owner)
    deliver()
    last = receiver.received[-1]
    Webhook(rotated["secret"]).verify(last.body, dict(last.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(last.body, dict(last.headers))


def test_one_delivery_is_replayed_with_its_id(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    event_id = record(owner.owner)
    deliver()
    (row,) = deliveries(owner, made)
    replay = f"{PATH}/{made['id']}/deliveries/{row['id']}/replay"
    answer = owner("POST", replay)
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert owner("POST", replay).status_code == 202
    deliver()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert len(deliveries(owner, made)[0]["attempts"]) == 2
    Event.objects.filter(id=event_id).delete()
    gone = owner("POST", replay)
    assert (gone.status_code, "no longer kept" in gone.json()["detail"]) == (409, True)


def test_all_events_since_a_time_are_replayed_in_order(user: Any, receiver: Receiver) -> None:
    """Also those of before the webhook, and those of which the deliveries were deleted."""
    owner = user()
    start = now()
    file = uuid.uuid4()
    before = record(owner.owner, file_id=file)
    made = create(owner, receiver.url)
    later = [record(owner.owner, file_id=file) for _ in range(3)]
    deliverer = Deliverer()
    deliver(deliverer)
    assert [each.document["id"] for each in receiver.received] == later
    Delivery.objects.filter(event_id=later[1]).delete()
    receiver.received.clear()
    answer = owner("POST", f"{PATH}/{made['id']}/replay", json={"since": start.isoformat()})
    assert (answer.status_code, answer.json()) == (202, {"first_event_id": before})
    deliver(deliverer)
    assert [each.document["id"] for each in receiver.received] == [before, *later]
    for since, status in (
        ((now() + timedelta(hours=1)).isoformat(), 422),
        ("yesterday", 422),
        (now().isoformat(), 409),
    ):
        assert owner("POST", f"{PATH}/{made['id']}/replay", json={"since": since}).status_code == status


def test_a_replay_right_after_a_read_of_the_journal_is_noticed(user: Any, receiver: Receiver) -> None:
    """The cursor is then where it was before that read."""
    made = create(owner := user(), receiver.url)
    start, deliverer = now(), Deliverer()
    deliver(deliverer)
    record(owner.owner)
    deliver(deliverer)
    answer = owner("POST", f"{PATH}/{made['id']}/replay", json={"since": start.isoformat()})
    assert answer.status_code == 202
    deliver(deliverer)
    assert len(receiver.received) == 2


def test_a_test_event(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    answer = owner("POST", f"{PATH}/{made['id']}/test")
    assert (answer.status_code, answer.json()["type"]) == (202, "webhook.test")
    deliver()
    assert Webhook(made["secret"]).verify(receiver.received[0].body, dict(receiver.received[0].headers))["id"] is None


# --- several processes ----------------------------------------------------------------------------------------------


def test_several_processes_deliver_each_event_once(user: Any, receiver: Receiver) -> None:
    owner = user()
    create(owner, receiver.url)
    create(owner, receiver.url)
    expected = [record(owner.owner) for _ in range(10)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: deliver(), range(4)))
    assert sorted(each.document["id"] for each in receiver.received) == sorted(expected * 2)


def test_a_delivery_of_a_killed_process_is_sent_again_after_its_lease(user: Any, receiver: Receiver) -> None:
    create(owner := user(), receiver.url)
    record(owner.owner)
    Deliverer()._reader.read()
    (endpoint_id,) = events.endpoints_with_due_deliveries()
    (lost,) = events.claim_due(endpoint_id, 5)
    deliver()
    assert receiver.received == []
    Delivery.objects.update(lease_until=now() - timedelta(seconds=1))
    deliver()
    assert len(receiver.received) == 1
    late = events.AttemptResult(now(), 1.0, error="It is late.")
    assert events.record_attempt(lost, late) is None
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def test_an_event_that_is_no_longer_kept_is_given_up(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    record(owner.owner)
    Deliverer()._reader.read()
    Event.objects.filter(owner=owner.owner).delete()
    deliver()
    (row,) = deliveries(owner, made)
    assert (row["state"], receiver.received) == ("dead", [])
    assert "no longer kept" in row["attempts"][0]["error"]


def test_an_event_is_kept_until_every_enabled_webhook_has_read_it(user: Any, receiver: Receiver) -> None:
    owner = user()
    made = create(owner, receiver.url)
    event_id = record(owner.owner)
    Event.objects.filter(id=event_id).update(at=now() - timedelta(days=60))
    events.prune(30)
    assert Event.objects.filter(id=event_id).exists()
    owner("PATCH", f"{PATH}/{made['id']}", json={"enabled": False})
    events.prune(30)
    assert not Event.objects.filter(id=event_id).exists()


def test_ended_deliveries_are_deleted_in_time(user: Any, receiver: Receiver) -> None:
    create(owner := user(), receiver.url)
    record(owner.owner)
    deliver()
    assert events.prune_deliveries(1) == 0
    Delivery.objects.update(finished_at=now() - timedelta(days=2))
    assert events.prune_deliveries(1) == 1


# --- receivers that fail --------------------------------------------------------------------------------------------


def test_an_address_that_became_private_is_refused_when_connecting(
    user: Any, receiver: Receiver, configure: Any
) -> None:
    """The address was allowed when the webhook was made, as that of a name may have been."""
    owner = user()
    made = create(owner, receiver.url)
    configure(WEBHOOK_ALLOWED_NETWORKS="")
    record(owner.owner)
    deliver()
    assert receiver.received == []
    assert "not public" in deliveries(owner, made)[0]["attempts"][0]["error"]


def test_a_name_is_looked_up_once_for_check_and_connection(receiver: Receiver, configure: Any) -> None:
    """DNS rebinding: the name gives a public address first and loopback afterwards."""
    configure(WEBHOOK_ALLOWED_NETWORKS="")
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    connected: list[str] = []

    class Recording(httpcore.AnyIOBackend):
        async def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
            connected.append(host)
            raise httpcore.ConnectError

    async def connect() -> None:
        with ThreadPoolExecutor(1) as threads:
            backend = CheckedBackend(encrypted=True, threads=threads, resolve=lambda host, port: answers.pop(0))
            backend._inner = Recording()
            with pytest.raises(httpcore.ConnectError):
                await backend.connect_tcp("rebinding.example", receiver.port, 1)
            with pytest.raises(TargetRefused):
                await backend.connect_tcp("rebinding.example", receiver.port, 1)

    asyncio.run(connect())
    assert connected == ["8.8.8.8"], "it connects to the address that was checked, not to the name"
    assert receiver.received == []


def test_the_certificate_must_be_that_of_the_name(user: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SNI and certificate are those of the URL's host, though the connection is made to an address."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    owner = user()
    with Receiver(tls=context) as receiver:
        by_name = create(owner, receiver.url.replace("127.0.0.1", "localhost"))
        by_address = create(owner, receiver.url)
        record(owner.owner)
        deliver()
    assert [each.headers["host"] for each in receiver.received] == [f"localhost:{receiver.port}"]
    assert deliveries(owner, by_name)[0]["state"] == "delivered"
    assert deliveries(owner, by_address)[0]["attempts"][0]["error"] == "No connection to the receiver could be made."


def test_proxies_of_the_environment_are_not_used(
    user: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    create(owner := user(), receiver.url)
    record(owner.owner)
    deliver()
    assert len(receiver.received) == 1


def test_a_target_that_refuses_connections_opens_its_breaker_which_uses_no_attempts(user: Any, configure: Any) -> None:
    configure(BREAKER_WEBHOOK_FAILURE_THRESHOLD="2", BREAKER_WEBHOOK_RECOVERY_SECONDS="300")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    owner, staff = user(), user(staff=True)
    made = create(owner, f"http://127.0.0.1:{port}/a")
    for _ in range(30):
        record(owner.owner)
    deliver()
    name = f"webhook.127.0.0.1:{port}"
    listed = staff("GET", "/error-handling/circuit-breakers").json()["circuit_breakers"]
    assert listed[name]["state"] == "open"
    assert listed[name]["failure_threshold"] == 2
    assert name not in {each.name for each in breaker_statuses()}, "the public report on health has no user's hosts"
    rows = deliveries(owner, made)
    assert {each["state"] for each in rows} == {"pending"}
    attempted = [each for each in rows if each["attempts"]]
    assert 2 <= len(attempted) <= delivering.ENDPOINT_CONCURRENCY + 1, "only those that were under way"
    for row in Delivery.objects.filter(attempts=0):
        assert 200 < (row.due_at - now()).total_seconds() <= 300
    assert staff("POST", f"/error-handling/circuit-breakers/{name}/reset").json()["state"] == "closed"
    assert owner("DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert name not in staff("GET", "/error-handling/circuit-breakers").json()["circuit_breakers"]
    assert events.delete_unused_breakers() == 1


def test_answers_that_are_errors_open_no_breaker(user: Any, receiver: Receiver, configure: Any) -> None:
    """One owner could otherwise stop the deliveries of others to a host that both use."""
    configure(BREAKER_WEBHOOK_FAILURE_THRESHOLD="1")
    owner = user()
    create(owner, receiver.url)
    create(user_two := user(), receiver.url)
    receiver.answer = lambda path, body: Answer(503)
    record(owner.owner)
    record(user_two.owner)
    deliver()
    assert [each.status for each in receiver.received] == [503, 503]


@pytest.mark.slow
def test_a_receiver_that_does_not_answer_times_out_and_does_not_delay_the_others(
    user: Any, receiver: Receiver, configure: Any
) -> None:
    configure(WEBHOOK_TIMEOUT_SECONDS="1")
    owner = user()
    released = threading.Event()

    def wait(path: str, body: bytes) -> Answer:
        released.wait(30)
        return Answer()

    with Receiver(wait) as silent:
        slow, fast = create(owner, silent.url), create(owner, receiver.url)
        for _ in range(8):
            record(owner.owner)
        started = time.monotonic()
        deliver()
        assert time.monotonic() - started < 15
        released.set()
    assert len(receiver.received) == 8
    assert all(each["state"] == "delivered" for each in deliveries(owner, fast))
    errors = {each["attempts"][0]["error"] for each in deliveries(owner, slow)}
    assert errors == {"The receiver did not answer within 1 s."}


@pytest.mark.slow
def test_silent_receivers_do_not_use_up_the_connections(user: Any, receiver: Receiver, configure: Any) -> None:
    """Two silent ones have as many deliveries due as may be sent at a time. The other's are sent all the same."""
    configure(WEBHOOK_TIMEOUT_SECONDS="1", WEBHOOK_CONCURRENCY="4", WEBHOOK_RETRY_SECONDS="0.1,0.1,0.1")
    released = threading.Event()
    owner, other = user(), user()

    def wait(path: str, body: bytes) -> Answer:
        released.wait(30)
        return Answer()

    async def deliver_until_stopped() -> None:
        await Deliverer().run(stop)

    stop = threading.Event()
    with Receiver(wait) as silent:
        for _ in range(2):
            create(owner, silent.url)
        create(other, receiver.url)
        for _ in range(50):
            record(owner.owner)
        running = threading.Thread(target=lambda: asyncio.run(deliver_until_stopped()), daemon=True)
        running.start()
        deadline = time.monotonic() + 30
        for _ in range(10):
            record(other.owner)
        while len(receiver.received) < 10 and time.monotonic() < deadline:
            time.sleep(0.05)
        released.set()
        stop.set()
        running.join(30)
    assert len(receiver.received) == 10
    assert Delivery.objects.filter(endpoint__owner=owner.owner, attempts=0).exists(), "they were not done first"


def test_a_body_without_an_end_is_cut_off(user: Any, configure: Any) -> None:
    """The reply's head decides; its body is neither waited for nor kept."""
    owner = user()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                while True:
                    try:
                        connection.sendall(b"x" * 65536)
                    except OSError:
                        return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        made = create(owner, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        record(owner.owner)
        deliver()
        thread.join(10)
    assert not thread.is_alive()
    (row,) = deliveries(owner, made)
    assert row["state"] == "delivered"
    assert "xxx" not in json.dumps(row)


def test_a_line_of_the_log_has_no_secret() -> None:
    from windlass.kernel.redaction import without_secrets

    assert without_secrets("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw end") == "secret *** end"


def test_the_admin_shows_no_secret(user: Any, receiver: Receiver, records_home: Path) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client

    made = create(user(), receiver.url)
    admin = get_user_model().objects.create_superuser(f"admin-{uuid.uuid4().hex[:8]}", password="x")
    client = Client(headers={"host": "localhost"})
    client.force_login(admin)
    for path in ("webhookendpoint/", f"webhookendpoint/{made['id']}/change/", "delivery/"):
        page = client.get(f"/admin/windlass_events/{path}")
        assert page.status_code == 200
        assert b"whsec_" not in page.content


def test_a_pool_has_no_room_for_a_unix_socket() -> None:
    async def connect() -> None:
        with ThreadPoolExecutor(1) as threads:
            async with open_pool(encrypted=False, threads=threads, size=1):
                with pytest.raises(httpcore.ConnectError):
                    await CheckedBackend(encrypted=False, threads=threads).connect_unix_socket("/run/docker.sock")

    asyncio.run(connect())
