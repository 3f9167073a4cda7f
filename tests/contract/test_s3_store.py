"""The S3 store against a real server: the conformance suite, and behaviour that only a network has."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from botocore.awsrequest import AWSResponse

from tests.process.cutting_proxy import Proxy
from tests.services import S3Server
from windlass.storage.conformance import StoreConformance
from windlass.storage.conformance.base import KEY, make, pattern, read, through_json, write
from windlass.storage.conformance.checkpoints import Checkpoints
from windlass.storage.conformance.unfinished import Copying, UnfinishedObjects
from windlass.storage.contract import StoreError, StoreUnavailable, SyncFailed
from windlass.storage.s3.options import MIB, Options
from windlass.storage.s3.part_buffer import MAX_UNSAVED_AGE
from windlass.storage.s3.store import S3Store


def options(server: S3Server, **more: Any) -> Options:
    named = {"access_key": server.ACCESS, "secret_key": server.SECRET, "endpoint": server.url, "addressing": "path"}
    return Options(**{"bucket": server.new_bucket(), "part_size": 5 * MIB, **named, **more})


class TestS3Store(StoreConformance):
    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server)


class TestS3StoreWithinABucketProvedByMd5(UnfinishedObjects, Copying, Checkpoints):
    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server, prefix="some/where/", checksum="md5", part_size=8 * MIB)


class TestS3StoreWithoutMemory(UnfinishedObjects, Copying, Checkpoints):
    """Every byte that does not fill a part is stored at once."""

    open_store = staticmethod(S3Store)

    @pytest.fixture
    def place(self, s3_server: S3Server) -> Options:
        return options(s3_server, buffer=1)


@pytest.fixture
def store(s3_server: S3Server) -> S3Store:
    return S3Store(options(s3_server))


def test_every_part_but_the_last_has_the_same_size(s3_server: S3Server, store: S3Store) -> None:
    """Some stores demand it. The size grows so that the allowed number of parts will do."""
    assert Options("b").part_size_for(None) == 8 * MIB
    assert Options("b").part_size_for(8 * MIB * 10_000) == 8 * MIB
    assert Options("b").part_size_for(8 * MIB * 10_000 + 1) == 9 * MIB
    assert Options("b").part_size_for(5 * 1024**4) * 10_000 >= 5 * 1024**4
    state = through_json(store.create(KEY))
    writer = store.open_writer(KEY, state)
    data, at = pattern(17 * MIB), 0
    for size in (3, 4 * MIB, 6 * MIB, 7 * MIB - 3):
        at += writer.write(at, [data[at : at + size]])
        state = through_json(writer.sync())
    writer.close()
    found = s3_server.client.list_parts(Bucket=store._options.bucket, Key=KEY, UploadId=state["upload"])["Parts"]
    assert [part["Size"] for part in found] == [5 * MIB] * 3


def test_a_part_replaced_by_another_client_is_an_error(s3_server: S3Server, store: S3Store) -> None:
    state = write(store, KEY, through_json(store.create(KEY)), 0, pattern(11 * MIB))
    s3_server.client.upload_part(
        Bucket=store._options.bucket, Key=KEY, UploadId=state["upload"], PartNumber=2, Body=pattern(5 * MIB, seed=2)
    )
    with pytest.raises(SyncFailed):
        store.complete(KEY, state, 11 * MIB)


def test_a_checkpoint_stores_only_bytes_of_a_certain_age(store: S3Store) -> None:
    """A fast client soon fills its part; the bytes of a slow one must not wait for that."""

    def pieces() -> int:
        return sum(found.size for found in store.objects())

    writer = store.open_writer(KEY, through_json(store.create(KEY)))
    writer.write(0, [pattern(12 * MIB)])
    assert writer.checkpoint(12 * MIB, max_lag=32 * MIB)[1] in (0, 5 * MIB, 10 * MIB)
    assert pieces() == 0
    time.sleep(MAX_UNSAVED_AGE)  # time is what is tested: a part is put away once it is as old as this
    assert writer.checkpoint(12 * MIB, max_lag=32 * MIB)[1] == 12 * MIB
    assert pieces() == 2 * MIB
    writer.write(12 * MIB, [pattern(MIB)])
    assert writer.checkpoint(13 * MIB, max_lag=32 * MIB)[1] == 12 * MIB
    writer.close()


def test_no_log_line_has_bytes_of_a_file(store: S3Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = b"the combination of the safe "
    make(store, KEY, secret * (6 * MIB // len(secret)))
    store.put(f"{KEY}.small", io.BytesIO(secret), len(secret))
    assert "UploadPart" in caplog.text
    assert "PutObject" in caplog.text
    assert "combination" not in caplog.text


def test_a_state_stays_small(store: S3Store) -> None:
    state = write(store, KEY, through_json(store.create(KEY)), 0, pattern(40 * MIB))
    assert len(json.dumps(state)) < 1000


def test_closing_a_writer_releases_its_memory(s3_server: S3Server) -> None:
    store = S3Store(options(s3_server))
    writer = store.open_writer(KEY, through_json(store.create(KEY)))
    writer.write(0, [pattern(12 * MIB)])
    assert store._memory.used > 0
    writer.close()
    assert store._memory.used == 0


def test_a_forked_child_opens_its_own_connections(store: S3Store) -> None:
    """A connection that two processes use gives each the other's answers."""
    make(store, KEY, pattern(100))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads is the point
        child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os._exit(0 if {read(store, KEY) for _ in range(20)} == {pattern(100)} else 1)
        os._exit(2)
    assert {read(store, KEY) for _ in range(20)} == {pattern(100)}
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_reader_continues_after_a_broken_connection(store: S3Store, s3_server: S3Server) -> None:
    make(store, KEY, pattern(9 * MIB))
    with store.open(KEY) as source:
        assert source.read(2 * MIB) == pattern(9 * MIB)[: 2 * MIB]
        raw: Any = source.raw  # type: ignore[attr-defined]
        raw._body._raw_stream.close = lambda: None
        raw._body._raw_stream._fp.fp.raw._sock.shutdown(socket.SHUT_RDWR)
        assert source.read() == pattern(9 * MIB)[2 * MIB :]


def test_an_object_that_was_replaced_while_it_is_read_is_not_mixed(store: S3Store) -> None:
    make(store, KEY, pattern(9 * MIB))
    with store.open(KEY) as source:
        source.read(10)
        store.put(KEY, io.BytesIO(pattern(9 * MIB, seed=2)), 9 * MIB)
        with pytest.raises(StoreError):
            source.read()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bucket": "there-is-none"}, "AWS_STORAGE_BUCKET_NAME"),
        ({"access_key": "nobody"}, "AWS_ACCESS_KEY_ID"),
        ({"secret_key": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
        ({"endpoint": "http://127.0.0.1:9", "attempts": 1}, "cannot be reached"),
    ],
)
def test_the_check_names_the_wrong_setting(s3_server: S3Server, change: dict[str, Any], word: str) -> None:
    wrong = S3Store(replace(options(s3_server), **change))
    with pytest.raises(StoreUnavailable, match=word) as told:
        wrong.check(thorough=True)
    assert "127.0.0.1" not in str(told.value)


def test_the_check_notices_a_bucket_that_takes_objects_and_no_parts(s3_server: S3Server) -> None:
    proxy = Proxy(s3_server.port)
    try:
        store = S3Store(options(s3_server, endpoint=f"http://127.0.0.1:{proxy.port}", attempts=1))
        proxy.cut("any part", "before", times=10**9)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.check()
        proxy.cut("any part", "before", times=0)
        store.check()
        proxy.cut("any part", "before", times=10**9)
        store.check()  # parts were accepted a moment ago
        assert proxy.cuts == 0
        assert list(store.objects()) == []
    finally:
        proxy.close()


def test_the_thorough_check_leaves_nothing(store: S3Store, s3_server: S3Server) -> None:
    store.check(thorough=True)
    assert list(store.objects()) == []


def test_an_object_is_sent_again_where_its_directory_was_just_deleted(store: S3Store, s3_server: S3Server) -> None:
    """A store over a file system deletes a directory with the last object, and refuses one that comes meanwhile."""
    refusals = [b"<Error><Code>ExistingObjectIsDirectory</Code><Message>x</Message></Error>"] * 2

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        return AWSResponse(request.url, 409, {}, Reply(refusals.pop())) if refusals else None

    with store._bucket.call(KEY) as client:
        client.meta.events.register("before-send.s3.PutObject", refuse)
    store.put(KEY, io.BytesIO(b"small"), 5)
    assert read(store, KEY) == b"small"
    refusals.extend([b"<Error><Code>ExistingObjectIsDirectory</Code></Error>"] * store._bucket.options.attempts)
    with pytest.raises(StoreUnavailable):  # a client may send the bytes again
        store.put(KEY, io.BytesIO(b"other"), 5)
    refusals.append(b"<Error><Code>OtherConflict</Code></Error>")
    with pytest.raises(StoreError, match="OtherConflict"):
        store.put(KEY, io.BytesIO(b"other"), 5)
    assert read(store, KEY) == b"small"


class Reply(io.BytesIO):
    """The body of an answer as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def test_a_signed_url_sets_the_headers_of_the_reply(store: S3Store) -> None:
    make(store, KEY, b"bytes")
    headers = {"Content-Type": "text/plain", "Content-Disposition": "attachment", "Cache-Control": "private"}
    url = store.presign(KEY, seconds=60, headers=headers)
    reply = httpx.get(url, trust_env=False)
    assert (reply.status_code, reply.content) == (200, b"bytes")
    assert {name: reply.headers[name] for name in headers} == headers
    assert httpx.get(url.replace("attachment", "inline"), trust_env=False).status_code == 403


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", "A", "a.tail.0123456789abcdef"])
def test_an_invalid_key_is_refused(store: S3Store, key: str) -> None:
    with pytest.raises(StoreError):
        store.put(key, io.BytesIO(b""), 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"encryption": "aes256"}, {"x-amz-server-side-encryption": "AES256"}),
        (
            {"encryption": "aws:kms", "kms_key": "ours"},
            {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "ours"},
        ),
    ],
)
def test_every_request_that_creates_an_object_asks_for_encryption(
    s3_server: S3Server, asked: dict[str, str], said: dict[str, str]
) -> None:
    store, sent = S3Store(options(s3_server, **asked)), []

    def look(request: Any, **_: Any) -> None:
        headers = {name.lower(): text(value) for name, value in request.headers.items()}
        sent.append((request.method, request.url, {name: headers[name] for name in said if name in headers}))

    def text(value: str | bytes) -> str:
        return value.decode() if isinstance(value, bytes) else value

    with store._bucket.call(KEY) as client:
        client.meta.events.register("before-send.s3", look)
    with suppress(StoreError):  # a server that has no such keys may refuse; it was asked all the same
        store.put(KEY, io.BytesIO(b"small"), 5)
    with suppress(StoreError):
        make(store, KEY, pattern(6 * MIB))
    begins = [headers for method, url, headers in sent if (method == "PUT" and "?" not in url) or "?uploads" in url]
    assert len(begins) >= 2
    assert all(headers == said for headers in begins), sent
