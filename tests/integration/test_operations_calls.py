"""The calls behind the operations page: throughput, queues, owners, uploads in progress, deliveries that failed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.asgi_client import ApiClient, make_file
from windlass.kernel.clock import now

pytest_plugins = ["tests.integration.record_plane"]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def staff(user: Any) -> ApiClient:
    found: ApiClient = user(staff=True)
    return found


@pytest.fixture
def journal(records_home: object) -> Iterator[None]:
    """An empty journal, so that a test knows all that is counted."""
    from windlass.events.models import Event, ThroughputMinute

    Event.objects.all().delete()
    ThroughputMinute.objects.all().delete()
    yield
    ThroughputMinute.objects.all().delete()


def record(kind: str, at: datetime, **data: Any) -> None:
    from windlass.events.models import Event

    event = Event.objects.create(type=kind, owner="someone", file_id=uuid.uuid4(), data=data)
    Event.objects.filter(id=event.id).update(at=at)


def points(staff: ApiClient, window: str) -> dict[datetime, dict[str, Any]]:
    reply = staff("GET", f"/error-handling/throughput?window={window}")
    assert reply.status_code == 200, reply.text
    return {datetime.fromisoformat(point.pop("at")): point for point in reply.json()["points"]}


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def test_throughput_counts_what_happened_in_each_minute(staff: ApiClient, journal: None) -> None:
    earlier, moment = now() - 10 * MINUTE, now()
    for size in (1000, 5_000_000_000):
        record("file.created", earlier, size=size, filename="a")
    record("file.ready", earlier)
    record("file.rejected", earlier)
    record("file.quarantined", earlier)
    record("file.failed", earlier)
    record("file.step", earlier)
    record("file.created", moment, size=7)
    found = points(staff, "hour")
    assert len(found) == 60
    assert found[minute_of(earlier)] == {"uploads": 2, "bytes": 5_000_001_000, "ready": 1, "rejected": 2, "failed": 1}
    assert sum(each["uploads"] for each in found.values()) == 3, "the minute that has not ended counts, too"


def test_what_has_been_counted_once_is_read_from_the_rows(staff: ApiClient, journal: None) -> None:
    from windlass.events.api import count_ended_minutes
    from windlass.events.models import Event, ThroughputMinute

    for minutes in (3, 90, 60 * 26):
        record("file.created", now() - minutes * MINUTE, size=10)
    direct = points(staff, "day")
    assert count_ended_minutes() >= 2
    assert count_ended_minutes() == 0, "each minute is counted once"
    assert ThroughputMinute.objects.filter(minute__lt=now() - timedelta(hours=25, minutes=2)).count() == 0
    assert points(staff, "day") == direct
    Event.objects.all().delete()  # as retention does
    assert points(staff, "day") == direct
    assert sum(each["bytes"] for each in direct.values()) == 20
    record("file.created", now(), size=5)
    assert sum(each["bytes"] for each in points(staff, "day").values()) == 25


def test_the_day_has_steps_of_a_quarter_of_an_hour(staff: ApiClient, journal: None) -> None:
    reply = staff("GET", "/error-handling/throughput?window=day").json()
    begins = [datetime.fromisoformat(point["at"]) for point in reply["points"]]
    assert (reply["step_seconds"], len(begins)) == (900, 96)
    assert {each.minute % 15 for each in begins} == {0}
    assert begins[-1] <= datetime.now(UTC) < begins[-1] + 15 * MINUTE
    assert staff("GET", "/error-handling/throughput?window=week").status_code == 422


def test_queues_have_their_depth_and_age(staff: ApiClient) -> None:
    from windlass.jobs.api import Job, Stage

    before = {each["name"]: each for each in staff("GET", "/error-handling/queues").json()["queues"]}
    assert set(before) == {"intake", "describe", "derive", "webhooks"}
    job = Job.objects.create(
        stage=Stage.DERIVE, file_id=uuid.uuid4(), run=1, max_attempts=5, due_at=now() - timedelta(days=500)
    )
    after = {each["name"]: each for each in staff("GET", "/error-handling/queues").json()["queues"]}
    job.delete()
    assert after["derive"]["queued"] == before["derive"]["queued"] + 1
    assert 499 * 86400 < after["derive"]["oldest_age_seconds"] < 501 * 86400
    assert after["intake"]["queued"] == before["intake"]["queued"]


def test_owners_are_listed_by_what_they_store(staff: ApiClient, user: Any) -> None:
    from windlass.files.api import Blob, PeriodicTaskState, figures_of_owners, set_quota_limits

    figures_of_owners.forget()
    large, larger = user(), "jwt:somebody"
    for owner, size in ((large.owner, 10**15), (larger, 10**16)):
        blob = Blob.objects.create(owner=owner, store="local", key=f"objects/{uuid.uuid4()}", size=size)
        make_file(owner, blob=blob, size=size)
    set_quota_limits(large.owner, bytes=2 * 10**15)
    first, second = staff("GET", "/error-handling/owners?limit=2").json()["results"]
    counted = PeriodicTaskState.objects.get(name="owners").updated_at
    Blob.objects.filter(size__gte=10**15).update(size=1)
    assert (first["owner"], first["name"], first["bytes"]["limit"]) == (larger, None, None)
    assert (second["owner"], second["name"]) == (large.owner, user_name(large.owner))
    assert second["bytes"] == {"limit": 2 * 10**15, "used": 10**15, "reserved": 0, "trashed": 0}
    assert second["files"]["used"] == 1
    assert staff("GET", "/error-handling/owners?limit=0").status_code == 422
    assert len(staff("GET", "/error-handling/owners?limit=1").json()["results"]) == 1
    once = PeriodicTaskState.objects.get(name="owners").updated_at == counted
    assert once, "the table of files is read once in a minute"


def test_what_an_owner_of_many_files_stores_is_counted_now_and_then(
    records_home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if others store more, and no limit applies to it."""
    from windlass.files import quota

    owner = f"jwt:{uuid.uuid4()}"
    for _ in range(2):
        make_file(owner, b"abc")
    monkeypatch.setattr(quota, "MAX_OWNERS", 0)
    monkeypatch.setattr(quota, "MOST_COUNTED", 1)
    quota.figures_of_owners.forget()
    assert quota.quota_usage(owner).bytes.used == 6
    monkeypatch.setattr(quota, "_counted", lambda owner: pytest.fail("its files are counted"))
    assert quota.quota_usage(owner).files.used == 2
    quota.figures_of_owners.forget()


def user_name(owner: str) -> str:
    from django.contrib.auth import get_user_model

    return str(get_user_model().objects.get(pk=owner.removeprefix("user:")).get_username())


def test_uploads_in_progress_of_everybody_are_listed(staff: ApiClient, user: Any) -> None:
    from windlass.asgi import application

    somebody = user(app=application)
    sizes = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": "filename YS50eHQ="}
    location = somebody("POST", "/files/", headers=sizes).headers["location"]
    found = staff("GET", "/error-handling/uploads?limit=100").json()
    mine = next(each for each in found["results"] if each["upload_id"] in location)
    assert (mine["owner"], mine["filename"], mine["dialect"]) == (somebody.owner, "a.txt", "tus")
    assert (mine["offset"], mine["size"], mine["is_receiving"]) == (0, 10, False)
    assert found["total"] >= 1
    somebody("DELETE", location, headers={"Tus-Resumable": "1.0.0"})
    after = staff("GET", "/error-handling/uploads?limit=100").json()
    assert all(each["upload_id"] not in location for each in after["results"])


def test_deliveries_that_failed_are_listed_with_their_webhook(staff: ApiClient, user: Any) -> None:
    from windlass.events.api import Delivery, DeliveryState, WebhookEndpoint

    moment = now()
    times = {"created_at": moment, "updated_at": moment}
    endpoint = WebhookEndpoint.objects.create(owner=user().owner, url="https://a.example/", secret="s", **times)
    made = {
        state: Delivery.objects.create(
            id=uuid.uuid4(),
            endpoint=endpoint,
            event_type="file.ready",
            state=state,
            due_at=moment,
            created_at=moment,
            finished_at=moment,
        )
        for state in DeliveryState
    }
    found = staff("GET", "/error-handling/failed-deliveries").json()
    of_endpoint = [each for each in found["results"] if each["webhook_id"] == str(endpoint.id)]
    assert [each["id"] for each in of_endpoint] == [str(made[DeliveryState.DEAD].id)]
    assert of_endpoint[0]["url"] == "https://a.example/"
    queue = staff("GET", "/error-handling/queues").json()["queues"][-1]
    assert (queue["name"], queue["dead"], queue["running"]) == ("webhooks", found["total"], None)
    endpoint.delete()
