"""Webhooks of a running server: none is lost however often its processes are killed, and the commands."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from standardwebhooks.webhooks import Webhook

from tests.process.serving import TIMEOUT, Serve, new_home, run, until
from tests.webhook_receiver import Answer, Receiver

#: Webhooks that the receiver must get at least; a thousand take a few minutes.
WEBHOOKS = int(os.environ.get("WEBHOOKS", "120"))
TYPES = ["upload.created", "upload.completed", "file.created", "file.stage", "file.step", "file.ready"]
PATH = "api/v1/webhooks/"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    settings = {
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_RETRY_SECONDS": ",".join(["0.2"] * 60),
        "WEBHOOK_TIMEOUT_SECONDS": "2",
        "JOB_LEASE_SECONDS": "3",
        "SWEEP_SECONDS": "0.5",
    }
    home = tmp_path_factory.mktemp("webhooks") / "home"
    new_home(home)
    with Serve(home, **settings) as serve:
        yield serve.ready()


def create(server: Serve, url: str, types: list[str]) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}{PATH}", json={"url": url, "types": types}, timeout=TIMEOUT)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_the_commands(server: Serve) -> None:
    home, networks = server.home, {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with Receiver() as receiver:
        added = run("webhook", "add", receiver.url, "--type", "file.ready", "--json", home=home, **networks)
        made = json.loads(added.stdout)
        listed = run("webhook", "list", "--json", home=home)
        assert json.loads(listed.stdout) == {name: value for name, value in made.items() if name != "secret"}

        tested = run("webhook", "test", made["id"], "--json", home=home)
        assert (tested.returncode, json.loads(tested.stdout)["state"]) == (0, "delivered"), tested.stderr
        assert Webhook(made["secret"]).verify(receiver.received[0].body, dict(receiver.received[0].headers))

        httpx.post(f"{server.url}files/", content=b"one file", headers={"X-Request-ID": "its-request"}, timeout=TIMEOUT)
        until(lambda: len(receiver.received) == 2, "the event of the file")
        assert receiver.received[1].headers["x-request-id"] == "its-request", "from the upload through the job"
        until(lambda: pending(server, made["id"]) == 0, "the record of the delivery")
        lines = run(
            "webhook", "deliveries", made["id"], "--state", "delivered", "--json", home=home
        ).stdout.splitlines()
        newest = json.loads(lines[0])
        assert (newest["type"], newest["attempts"][0]["status"]) == ("file.ready", 204)
        assert run("webhook", "replay", made["id"], newest["id"], home=home).returncode == 0
        until(lambda: len(receiver.received) == 3, "the replay of one")
        since = ("webhook", "replay", made["id"], "--since", "2026-01-01T00:00:00")
        assert run(*since, home=home).returncode == 0
        until(lambda: len(receiver.received) == 4, "the replay of all")
        assert len({each.headers["webhook-id"] for each in receiver.received[1:]}) == 1

        updated = run("webhook", "update", made["id"], "--type", "file.deleted", "--disable", "--json", home=home)
        changed = {"types": ["file.deleted"], "enabled": False, "disabled_reason": "It was disabled by its owner."}
        expected = {name: value for name, value in made.items() if name != "secret"} | changed
        assert json.loads(updated.stdout) == expected, updated.stderr
        target = receiver.url.replace("hook", "moved")
        moved = run("webhook", "update", made["id"], "--url", target, "--enable", home=home, **networks)
        assert f"enabled  {target}  file.deleted" in moved.stdout, moved.stderr
        rotated = json.loads(run("webhook", "rotate-secret", made["id"], "--json", home=home).stdout)
        assert rotated["old_secret_until"]
        run("webhook", "test", made["id"], home=home)
        newest = receiver.received[-1]
        assert newest.path == "/moved"
        for secret in (made["secret"], rotated["secret"]):
            assert Webhook(secret).verify(newest.body, dict(newest.headers))

    for arguments, told in (
        (("update", made["id"]), "--url"),
        (("update", made["id"], "--url", "https://10.1.1.1/"), "not public"),
        (("update", made["id"], "--type", "file.redy"), "Did you mean file.ready?"),
        (("add", "https://10.1.1.1/", "--type", "file.ready"), "not public"),
        (("add", "https://8.8.8.8/", "--type", "file.ready", "--user", "nobody"), "no user 'nobody'"),
        (("replay", made["id"], "11111111-1111-4111-8111-111111111111"), "no delivery"),
    ):
        refused = run("webhook", *arguments, home=home)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert run("webhook", "remove", made["id"], home=home).returncode == 0
    assert run("webhook", "list", home=home).stdout == ""


def test_no_webhook_is_lost_though_every_process_is_killed_twice(server: Serve) -> None:
    """The receiver fails half of the time. Each event arrives at least once, signed, and those of a file in order: in
    the sequence of its requests an id never falls, because a later event waits until the one before was accepted."""
    chance = random.Random(1)
    lock = threading.Lock()

    def answer(path: str, body: bytes) -> Answer:
        with lock:
            return Answer(204 if chance.random() < 0.5 else 500)

    with Receiver(answer) as receiver:
        made = create(server, receiver.url, TYPES)
        uploading = threading.Thread(target=upload, args=(server, WEBHOOKS // 10), daemon=True)
        uploading.start()
        for _ in range(2):
            for role in ("scheduler", "worker", "web"):
                goal = len(receiver.received) + WEBHOOKS // 12
                until(lambda goal=goal: len(receiver.received) >= goal, f"deliveries before {role} is killed")
                kill(server, role)
        uploading.join(TIMEOUT)
        until(lambda: is_done(server), "all files to be processed")
        events = journal(server)
        wanted = {each["id"] for each in events}
        while not wanted <= ids(receiver):  # as long as there is progress
            arrived = len(ids(receiver))
            until(lambda: len(ids(receiver)) > arrived, f"more than {arrived} of {len(wanted)} events")  # noqa: B023
        until(lambda: pending(server, made["id"]) == 0, "the record of the last delivery")

        assert len(events) >= WEBHOOKS
        signature = Webhook(made["secret"])
        names: defaultdict[str, set[int]] = defaultdict(set)
        last: defaultdict[str, int] = defaultdict(int)
        for each in receiver.received:
            event = signature.verify(each.body, dict(each.headers))
            names[each.headers["webhook-id"]].add(event["id"])
            for key in filter(None, (event["file_id"], event["upload_id"])):
                assert event["id"] >= last[key], f"event {event['id']} came after {last[key]} of the same file"
                last[key] = event["id"]
        assert all(len(found) == 1 for found in names.values())
        assert len(names) == len(events), "duplicates have the same id"


def upload(server: Serve, files: int) -> None:
    """Upload files, each with at least ten events, a moment apart. A server process that was killed comes back."""
    for number in range(files):
        until(lambda number=number: _is_uploaded(server, number), "the web process")
        time.sleep(0.2)


def _is_uploaded(server: Serve, number: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        body = b"file %d" % number
        return httpx.post(f"{server.url}files/?filename={number}.txt", content=body, timeout=TIMEOUT).is_success
    return False


def kill(server: Serve, role: str) -> None:
    victim = until(lambda: server.children().get(role), f"a {role} process")
    victim.send_signal(signal.SIGKILL)
    psutil.wait_procs([victim], TIMEOUT)
    until(lambda: (now := server.children().get(role)) and now.pid != victim.pid, f"another {role} process")


def ids(receiver: Receiver) -> set[int]:
    return {each.document["id"] for each in list(receiver.received) if each.status == 204}


def is_done(server: Serve) -> bool:
    with contextlib.suppress(httpx.TransportError):
        waiting = [
            httpx.get(f"{server.url}files/", params={"status": status}, timeout=TIMEOUT).json()["results"]
            for status in ("PENDING", "PROCESSING")
        ]
        return not any(waiting)
    return False


def journal(server: Serve) -> list[dict[str, Any]]:
    """The events of the journal that the webhook is for."""
    with contextlib.closing(sqlite3.connect(server.home / "windlass.sqlite3", timeout=TIMEOUT)) as database:
        marks = ", ".join("?" * len(TYPES))
        sql = f"SELECT id, type FROM windlass_events_event WHERE type IN ({marks}) AND id > ?"
        (start,) = database.execute("SELECT MIN(event_id) FROM windlass_events_delivery").fetchone()
        return [{"id": number, "type": kind} for number, kind in database.execute(sql, [*TYPES, start - 1])]


def pending(server: Serve, webhook_id: str) -> int:
    with contextlib.suppress(httpx.TransportError):
        path = f"{server.url}{PATH}{webhook_id}/deliveries/?state=pending"
        return len(httpx.get(path, timeout=TIMEOUT).json()["results"])
    return -1
