"""The metrics for Prometheus, and who may read them. They are parsed with Prometheus's own client."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import markdown_pages
from tests.integration.asgi_client import ApiClient, make_file
from windlass.kernel.clock import now

pytest_plugins = ["tests.integration.record_plane"]

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def server(records_home: object) -> Iterator[Any]:
    from windlass import asgi
    from windlass.operations.record_figures import record_figures

    record_figures.forget()
    yield asgi.application
    record_figures.forget()


def read(caller: ApiClient) -> Figures:
    response = caller("GET", "/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def figure(found: Figures, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_metrics_count_the_records(server: Any) -> None:
    from windlass.files.api import Blob, FileAsset, FileStatus, StepRun, StepState
    from windlass.jobs.api import Job, Stage
    from windlass.operations.record_figures import record_figures

    before = read(ApiClient(server))
    blob = Blob.objects.create(owner="metrics", store="local", key=f"objects/{uuid.uuid4()}", size=5000)
    asset = FileAsset.objects.create(
        owner="metrics", blob=blob, original_filename="a", size=5000, profile="default", status=FileStatus.QUARANTINED
    )
    StepRun.objects.create(
        file=asset, run=1, stage="describe", step="counted", position=1, state=StepState.FAILED, seconds=1.5
    )
    due = now() - timedelta(days=400)
    job = Job.objects.create(stage=Stage.DERIVE, file_id=asset.id, due_at=due, max_attempts=1)
    try:
        record_figures.forget()
        found = read(ApiClient(server))
    finally:
        job.delete()
        asset.delete()
        blob.delete()
    assert figure(found, "windlass_files", status="QUARANTINED") == 1 + figure(
        before, "windlass_files", status="QUARANTINED"
    )
    assert figure(found, "windlass_stored_bytes", kind="file", store="local") == 5000 + figure(
        before, "windlass_stored_bytes", kind="file", store="local"
    )
    assert figure(found, "windlass_step_runs", step="counted", state="failed") == 1
    assert figure(found, "windlass_step_seconds", step="counted", state="failed") == 1.5
    assert figure(found, "windlass_jobs", stage="derive", state="queued") == 1 + figure(
        before, "windlass_jobs", stage="derive", state="queued"
    )
    assert (
        figure(found, "windlass_jobs_oldest_age_seconds", stage="derive", cost="light")
        >= timedelta(days=400).total_seconds()
    )


def test_every_status_has_a_metric_and_every_name_the_prefix(server: Any) -> None:
    from windlass import __version__
    from windlass.files.api import FileStatus, UploadStatus

    found = read(ApiClient(server))
    assert {name.partition("_")[0] for name, _ in found} == {"windlass"}
    for status in FileStatus:
        assert figure(found, "windlass_files", status=status.value) >= 0
    for status in UploadStatus:
        assert figure(found, "windlass_uploads", status=status.value) >= 0
    assert figure(found, "windlass_info", version=__version__) == 1
    assert figure(found, "windlass_process_resident_memory_bytes") > 0
    levels = {
        dict(labels)["level"]: value for (name, labels), value in found.items() if name == "windlass_sandbox_level"
    }
    assert sum(levels.values()) == 1
    assert set(levels) == {"full", "partial", "basic", "off", "none"}


def test_the_event_counter_is_the_last_id_of_the_journal(server: Any) -> None:
    from windlass.events.api import Event, EventType, last_id

    Event.objects.create(type=EventType.FILE_READY, owner="metrics", data={})
    assert figure(read(ApiClient(server)), "windlass_events_total") == last_id()


def test_metrics_of_whole_tables_are_cached(server: Any) -> None:
    from windlass.files.api import Blob

    before = figure(read(ApiClient(server)), "windlass_stored_bytes", kind="file", store="local")
    blob = Blob.objects.create(owner="metrics", store="local", key=f"objects/{uuid.uuid4()}", size=77)
    try:
        assert figure(read(ApiClient(server)), "windlass_stored_bytes", kind="file", store="local") == before
    finally:
        blob.delete()


def test_only_staff_and_the_metrics_token_may_read_metrics(server: Any, user: Any, configure: Any) -> None:
    configure(AUTH_MODE="required", METRICS_TOKEN="open-sesame")
    assert user(staff=True, app=server)("GET", "/metrics").status_code == 200
    assert ApiClient(server, "open-sesame")("GET", "/metrics/").status_code == 200
    for caller, status in (
        (user(app=server), 403),
        (ApiClient(server), 401),
        (ApiClient(server, "open-sesam"), 401),
    ):
        response = caller("GET", "/metrics")
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
    assert ApiClient(server, "open-sesame")("GET", "/files").status_code == 401


def test_an_empty_token_is_refused(server: Any, configure: Any) -> None:
    configure(AUTH_MODE="required")
    response = ApiClient(server)("GET", "/metrics", headers={"Authorization": "Bearer "})
    assert response.status_code == 401


def test_a_projects_own_metrics_page_is_not_replaced(server: Any) -> None:
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path

    from windlass import asgi

    class Project:
        urlpatterns = [path("metrics", lambda request: HttpResponse("the project's own"))]

    with override_settings(ROOT_URLCONF=Project):
        assert ApiClient(asgi.wrap(ASGIHandler()))("GET", "/metrics").text == "the project's own"


def test_the_guide_names_every_metric(server: Any) -> None:
    guide = (markdown_pages.DOCS / "how-to" / "watch-with-prometheus.md").read_text()
    names = {re.sub("_(bucket|count|sum)$", "", name) for name, _ in read(ApiClient(server))}
    missing = [name for name in names if name not in guide and not name.startswith("windlass_process_resident")]
    assert [name for name in missing if not re.match(r"windlass_process_(virtual|cpu|start|open|max)", name)] == []


#: The labels that any metric may have, and their values; None: names of the configuration, which clients do not choose.
BOUNDED_LABELS: dict[str, set[str] | None] = {
    "component": None,
    "cost": {"light", "heavy"},
    "cause": {"time", "memory", "cpu", "system-call", "killed", "crash", "exit", "sandbox", "other"},
    "dialect": {"tus", "ietf", "form", "raw", "chunks", "media", "s3", "none"},
    "during": {"body", "reply"},
    "endpoint": {"embeddings", "graph"},
    "kind": {
        *("prompt", "completion"),
        *("file", "rendition", "archive", "live", "other"),
        *("data", "directory"),
        *("sse", "websocket"),
    },
    "le": None,
    "level": {*("full", "partial", "basic", "off", "none"), *("degraded", "maintenance")},
    "name": None,
    "outcome": {
        *("answered", "accepted", "refused", "failed", "interrupted", "late", "obtained"),
        *("done", "retried", "postponed", "dead", "lost", "owed", "error", "skipped", "delivered"),
    },
    "process": {"web", "worker", "scheduler"},
    "reason": {"head-timeout", "made-way", "no-pong", "slow-body", "slow-reply", "too-many"},
    "stage": {"intake", "describe", "derive"},
    "state": {
        *("queued", "running", "dead"),
        *("done", "failed", "owed"),
        *("closed", "open", "half_open"),
        *("ok", "impaired", "off"),
    },
    "status": None,
    "step": None,
    "store": None,
    "use": {"limited", "over-80-percent", "full"},
    "version": None,
}
UNITS = (
    "_pending",
    "_bytes",
    "_seconds",
    "_total",
    "_calls",
    "_info",
    "_files",
    "_objects",
    "_owners",
    "_readers",
    "_jobs",
    "_runs",
)


def test_every_metric_has_a_help_text_a_unit_and_bounded_labels(server: Any) -> None:
    for family in text_string_to_metric_families(ApiClient(server)("GET", "/metrics").text):
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        states = ("_state", "_level", "_uploads", "_fds")  # a count or 1 for the present state
        assert family.type == "counter" or family.name.endswith((*UNITS, *states)), family.name
        for sample in family.samples:
            for label, value in sample.labels.items():
                allowed = BOUNDED_LABELS[label]
                assert allowed is None or value in allowed, (sample.name, label, value)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_no_fault(server: Any) -> None:
    scraped = ApiClient(server)("GET", "/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=scraped, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_figures_that_a_wrong_clock_dated_are_counted_again(server: Any) -> None:
    from windlass.files.api import PeriodicTaskState
    from windlass.kernel.clock import now
    from windlass.operations.record_figures import record_figures

    record_figures.read()
    kept = PeriodicTaskState.objects.filter(name=record_figures.name)
    kept.update(updated_at=now() - timedelta(seconds=30))
    assert not record_figures.refresh(), "they are young"
    kept.update(updated_at=now() + timedelta(hours=1))
    assert record_figures.refresh()
    assert kept.get().updated_at <= now()


def test_figures_are_as_old_as_their_count_while_somebody_counts(server: Any) -> None:
    """Also if the process that counts dies."""
    from windlass.files.api import PeriodicTaskState
    from windlass.files.kept_figures import KeptFigures
    from windlass.kernel.clock import now

    def dies() -> NoReturn:
        raise KeyboardInterrupt

    KeptFigures("dying", lambda: {"n": 1}).read()
    PeriodicTaskState.objects.filter(name="dying").update(updated_at=now() - timedelta(minutes=10))
    with pytest.raises(KeyboardInterrupt):
        KeptFigures("dying", dies).refresh()
    others = KeptFigures("dying", lambda: {"n": 2})
    assert 600 <= others.age() < 660
    assert not others.refresh(), "somebody counts"
    assert others.read() == {"n": 1}
    PeriodicTaskState.objects.filter(name="dying").update(claimed_at=now() - timedelta(minutes=2))
    assert others.refresh(), "nobody does"
    assert (others.read(), others.age() < 60) == ({"n": 2}, True)
    others.forget()


def test_no_scrape_counts_a_large_table_for_the_first_time(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.files import kept_figures
    from windlass.operations.record_figures import record_figures

    file = make_file("many")
    monkeypatch.setattr(kept_figures, "FEW_FILES", 0)
    assert not [name for name, _ in read(ApiClient(server)) if name in ("windlass_files", "windlass_quota_owners")]
    assert record_figures.refresh(), "the scheduler does"
    assert figure(read(ApiClient(server)), "windlass_files", status=file.status) >= 1
    file.delete()


def test_quotas_are_totals_of_the_owners_that_have_one(server: Any) -> None:
    from windlass.files.api import set_quota_limits
    from windlass.files.models import OwnerAccount
    from windlass.operations.record_figures import record_figures

    def totals() -> dict[str, float]:
        record_figures.forget()
        found = read(ApiClient(server))
        uses = {use: figure(found, "windlass_quota_owners", use=use) for use in ("limited", "over-80-percent", "full")}
        return uses | {name: figure(found, f"windlass_quota_{name}_bytes") for name in ("taken", "limit")}

    before = totals()
    for owner, limit, used, reserved in (("a", 1000, 700, 99), ("b", 1000, 700, 100), ("c", 50, 60, 0), ("d", 0, 9, 9)):
        set_quota_limits(f"quota-{owner}", bytes=limit, files=0)
        OwnerAccount.objects.filter(owner=f"quota-{owner}").update(bytes_used=used, bytes_reserved=reserved)
    try:
        found = totals()
    finally:
        OwnerAccount.objects.filter(owner__startswith="quota-").delete()
    assert {name: found[name] - before[name] for name in found} == {
        "limited": 3,
        "over-80-percent": 2,
        "full": 1,
        "taken": 799 + 800 + 60,
        "limit": 2050,
    }


def test_bytes_are_counted_under_a_server_that_does_not_count_them(server: Any) -> None:
    from windlass.kernel import process_counters

    received = process_counters.received_bytes.value("none", "refused")
    sent = process_counters.sent_bytes.value("other", "refused")
    response = ApiClient(server)("POST", "/uploads/grants", json={"profile": "there-is-none"})
    assert response.status_code in (400, 404, 422)
    request_size = int(response.request.headers["content-length"])
    assert process_counters.received_bytes.value("none", "refused") == received + request_size
    assert process_counters.sent_bytes.value("other", "refused") == sent + len(response.content)
