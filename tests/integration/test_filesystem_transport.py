"""The embedded broker: messages are whole or absent, delivered once and found soon."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from tests import child_functions
from windlass.jobs.embedded_messages import EmbeddedSender
from windlass.jobs.filesystem_transport import Transport
from windlass.jobs.queue_directory import QueueDirectory
from windlass.jobs.states import CostClass, Stage
from windlass.jobs.states import Queue as QueueOfJobs


@pytest.fixture
def directory(tmp_path: Path) -> QueueDirectory:
    made = QueueDirectory(tmp_path / "intake")
    made.prepare()
    return made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Any]:
    """A function that opens another connection to one and the same broker."""
    TRANSPORT_ALIASES["windlass"] = "windlass.jobs.filesystem_transport:Transport"
    with ExitStack() as stack:
        options = {"folder": str(tmp_path / "broker")}
        yield lambda: stack.enter_context(Connection("windlass://localhost", transport_options=options))


def queue(name: str) -> Queue:
    return Queue(name, Exchange("windlass", type="direct"), routing_key=name)


def test_concurrent_writers_and_readers_deliver_each_message_whole_and_once(
    tmp_path: Path, directory: QueueDirectory
) -> None:
    """Bodies span several pages, so that a reader of an unfinished message would see a part of it."""
    writers, each = 3, 150
    context = multiprocessing.get_context("spawn")
    with context.Pool(writers + 2) as pool:
        readers = [pool.apply_async(child_functions.read_all, (str(tmp_path / "intake"),)) for _ in range(2)]
        written = pool.starmap(
            child_functions.write_many, [(str(tmp_path / "intake"), n, each) for n in range(writers)]
        )
        for _ in readers:
            directory.put(child_functions.STOP)
        taken = [body for reader in readers for body in reader.get(60)]
    assert sorted(taken) == sorted(body for bodies in written for body in bodies)
    assert os.listdir(tmp_path / "intake") == []


def test_the_oldest_message_is_delivered_first(directory: QueueDirectory) -> None:
    for number in range(5):
        directory.put(b"%d" % number)
    assert [directory.take() for _ in range(6)] == [b"0", b"1", b"2", b"3", b"4", None]


def test_a_message_within_the_clock_tick_of_the_last_listing_is_found(
    directory: QueueDirectory, tmp_path: Path
) -> None:
    """The directory's time does not tell the two apart, so a listing that recent must not be cached."""
    assert directory.take() is None
    seen = os.stat(tmp_path / "intake").st_mtime_ns
    directory.put(b"late")
    os.utime(tmp_path / "intake", ns=(seen, seen))
    assert directory.take() == b"late"


def test_an_unchanged_directory_is_not_listed_again(
    directory: QueueDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = time.time_ns() - 10 * QueueDirectory.SETTLED_NS
    os.utime(tmp_path / "intake", ns=(settled, settled))
    assert directory.take() is None
    monkeypatch.setattr(directory, "names", lambda: pytest.fail("listed"))
    assert directory.take() is None


def test_a_directory_with_an_unchanged_time_is_listed_again_after_a_while(
    directory: QueueDirectory, tmp_path: Path
) -> None:
    directory.RELIST_SECONDS = 0.0  # type: ignore[misc]
    settled = time.time_ns() - 10 * QueueDirectory.SETTLED_NS
    os.utime(tmp_path / "intake", ns=(settled, settled))
    assert directory.take() is None
    directory.put(b"unseen")
    os.utime(tmp_path / "intake", ns=(settled, settled))
    assert directory.take() == b"unseen"


def test_unfinished_messages_of_dead_writers_only_are_removed(directory: QueueDirectory, tmp_path: Path) -> None:
    dead, living = tmp_path / "intake" / ".dead.msg", tmp_path / "intake" / ".living.msg"
    dead.write_bytes(b"half")
    living.write_bytes(b"half")
    os.utime(dead, (1, 1))
    assert directory.take() is None
    directory.prepare()
    assert not dead.exists()
    assert living.exists()


def test_a_message_is_delivered_to_another_connection(broker: Any) -> None:
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with broker().Consumer(queue("intake"), callbacks=[take]) as consumer:
        with broker().Producer() as producer:
            sent = time.monotonic()
            producer.publish(["job"], routing_key="intake", exchange="windlass", declare=[queue("intake")])
        consumer.connection.drain_events(timeout=5)
        waited = time.monotonic() - sent
    assert got == [["job"]]
    assert waited < 1.0, "Kombu's own filesystem transport polls once a second; this one must not"


@pytest.mark.parametrize("sender", ["kombu", "without kombu"])
def test_a_waiting_consumer_is_woken_by_the_message(
    broker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sender: str
) -> None:
    monkeypatch.setattr(Transport, "longest_drain", 60.0)
    pipes = tmp_path / "broker" / ".consumers"
    got = threading.Event()
    with broker().Consumer(queue("intake"), callbacks=[lambda body, message: got.set()]) as consumer:
        draining = threading.Thread(target=consumer.connection.drain_events, kwargs={"timeout": 60}, daemon=True)
        draining.start()
        while not pipes.is_dir() or not any(pipes.glob("*.pipe")):
            time.sleep(0.01)
        time.sleep(0.1)  # it has looked once more and waits; if it has not, the test proves less
        if sender == "kombu":
            with broker().Producer() as producer:
                producer.publish(["job"], routing_key="intake", exchange="windlass", declare=[queue("intake")])
        else:
            light = QueueOfJobs(Stage.INTAKE, CostClass.LIGHT)
            sender_of_jobs = EmbeddedSender(tmp_path / "broker", "windlass.run_job")
            sender_of_jobs.publish(uuid.uuid4(), light)
            sender_of_jobs.wake()
        assert got.wait(30)
        draining.join()
    consumer.connection.release()
    assert not any(pipes.iterdir()), "a closed connection leaves no pipe"


def test_an_unreadable_message_is_dropped_and_the_next_one_delivered(broker: Any, tmp_path: Path) -> None:
    bound = queue("intake")(broker().default_channel)
    bound.declare()
    (tmp_path / "broker" / "intake" / "00000000000000000001-x.msg").write_bytes(b'{"body": ')
    with broker().Producer() as producer:
        producer.publish(["whole"], routing_key="intake", exchange="windlass", declare=[queue("intake")])
    assert bound.get().payload == ["whole"]
    assert bound.get() is None


def test_queues_are_separate_and_can_be_counted_and_purged(broker: Any) -> None:
    intake, derive = (queue(name)(broker().default_channel) for name in ("intake", "derive"))
    for bound in (intake, derive):
        bound.declare()
    with broker().Producer() as producer:
        for number in range(3):
            producer.publish([number], routing_key="intake", exchange="windlass", declare=[queue("intake")])
    assert intake.queue_declare().message_count == 3
    assert derive.get() is None
    assert intake.purge() == 3
    assert intake.get() is None


def test_queue_names_cannot_leave_the_brokers_directory(broker: Any) -> None:
    channel = broker().default_channel
    for name in ("../outside", "a/b", "..", ""):
        with pytest.raises(Exception, match="cannot be the name"):
            channel._put(name, {})


def test_messages_are_plain_json(broker: Any, tmp_path: Path) -> None:
    with broker().Producer() as producer:
        producer.publish(["job"], routing_key="intake", exchange="windlass", declare=[queue("intake")])
    (message,) = (tmp_path / "broker" / "intake").iterdir()
    assert json.loads(message.read_bytes())["properties"]["delivery_info"]["routing_key"] == "intake"


def test_the_consumer_checks_for_a_stop_often_enough() -> None:
    assert Transport.longest_drain <= 0.5
