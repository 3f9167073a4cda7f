"""Uploads in parallel parts without a server: a test plays it for all parts, in any order."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import pytest

from tests.pure.client_exchange import FILE, SERVER, StoredUrl, body_of, problem, retry_budget
from windlass.client import Invalid, NotFound, Refused, UploadSettings
from windlass.client.effects import Call, ConnectionFailure, Effect, Flow, Outcome, Request, Response, Sleep, Together
from windlass.client.parallel_upload import LEAST_PART_BYTES, ParallelUpload, parts_of
from windlass.client.upload_source import ObjectSource

BYTES = bytes(range(256)) * 16
PARTS = [(0, 1000), (1000, 2048), (2048, 4096)]


class TusServer:
    """Keeps partial uploads and what they are concatenated to. ``fail`` answers chosen requests instead."""

    def __init__(self, fail: Sequence[Outcome | None] = ()) -> None:
        self.uploads: dict[str, bytes] = {}
        self.lengths: dict[str, int] = {}
        self.files: list[bytes] = []
        self.requests: list[Request] = []
        self._fail = iter(fail)

    def answer(self, request: Request) -> Outcome:
        self.requests.append(request)
        failed = next(self._fail, None)
        if failed is not None:
            return failed
        path = request.url.removeprefix("http://windlass.test")
        if request.method == "POST" and request.headers["Upload-Concat"] == "partial":
            url = f"/uploads/{len(self.lengths)}"
            self.uploads[url], self.lengths[url] = b"", int(request.headers["Upload-Length"])
            return Response(201, {"location": url})
        if request.method == "POST":
            return self._concatenate(request.headers["Upload-Concat"].removeprefix("final;").split())
        if path not in self.uploads:
            return problem(404, "not-found", "There is no such upload.")
        if request.method == "DELETE":
            del self.uploads[path]
            return Response(204)
        if request.method == "PATCH":
            assert int(request.headers["Upload-Offset"]) == len(self.uploads[path])
            self.uploads[path] += body_of(request)
        return Response(204, {"upload-offset": str(len(self.uploads[path]))})

    def _concatenate(self, urls: list[str]) -> Response:
        paths = [url.removeprefix("http://windlass.test") for url in urls]
        if any(path not in self.uploads for path in paths):
            return problem(404, "not-found", "There is no such upload.")
        assert all(len(self.uploads[path]) == self.lengths[path] for path in paths)
        self.files.append(b"".join(self.uploads[path] for path in paths))
        return Response(201, {"location": "/uploads/final", "windlass-file": f"/files/{FILE}/"})


def play(flow: Flow[Any], server: TusServer) -> Any:
    """Run a flow, with the flows of a group one effect at a time in turn."""
    try:
        effect = next(flow)
        while True:
            effect = flow.send(perform(effect, server))
    except StopIteration as end:
        return end.value


def perform(effect: Effect, server: TusServer) -> Any:
    match effect:
        case Request():
            return server.answer(effect)
        case Call(function):
            return function()
        case Sleep():
            return None
        case Together(flows, _):
            return play_in_turn(list(flows), server)
    raise AssertionError(effect)


def play_in_turn(flows: list[Flow[Any]], server: TusServer) -> list[Any]:
    results: dict[int, Any] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(flows)))
    while answers:
        for number in list(answers):
            try:
                answers[number] = perform(flows[number].send(answers[number]), server)
            except StopIteration as end:
                results[number] = end.value
                del answers[number]
    return [results[number] for number in range(len(flows))]


def upload(server: TusServer, states: dict[Any, StoredUrl] | None = None, **options: Any) -> str:
    states = {} if states is None else states
    settings = UploadSettings(**{"filename": "big.bin"} | options)
    source = ObjectSource(io.BytesIO(BYTES))
    parallel = ParallelUpload(
        SERVER, source, settings, PARTS, lambda part: states.setdefault(part, StoredUrl()), retry_budget
    )
    result = play(parallel.run(), server)
    assert isinstance(result, str)
    return result


def metadata(request: Request) -> str:
    return request.headers["Upload-Metadata"]


def test_parts_are_of_about_the_same_size_and_none_is_small() -> None:
    assert parts_of(10 * LEAST_PART_BYTES + 1, 4) == [
        (0, 20971520),
        (20971520, 41943040),
        (41943040, 62914560),
        (62914560, 83886081),
    ]
    assert len(parts_of(3 * LEAST_PART_BYTES, 8)) == 3
    assert parts_of(LEAST_PART_BYTES, 8) == [(0, LEAST_PART_BYTES)]
    assert parts_of(0, 8) == [(0, 0)]


def test_parts_are_concatenated_in_order_with_the_digest_of_the_whole() -> None:
    server = TusServer()
    states: dict[Any, StoredUrl] = {}
    progress: list[tuple[int, int]] = []
    assert upload(server, states, on_progress=lambda sent, total: progress.append((sent, total))) == FILE
    assert server.files == [BYTES]
    final = server.requests[-1]
    assert metadata(final) == UploadSettings(filename="big.bin").upload_metadata(
        None, hashlib.sha256(BYTES).hexdigest()
    )
    assert progress[-1] == (4096, 4096)
    assert {state.url for state in states.values()} == {None}, "nothing is left to resume"


def test_a_broken_connection_delays_its_part_only() -> None:
    failures = [None, None, None, ConnectionFailure("the connection broke", 0.1), Response(503)]
    server = TusServer(failures)
    assert upload(server) == FILE
    assert server.files == [BYTES]


def test_a_later_run_sends_only_what_is_missing() -> None:
    server = TusServer()
    states: dict[Any, StoredUrl] = {}
    upload(server, states)
    server.files.clear()
    server.requests.clear()
    for number, part in enumerate(PARTS):
        states[part].url = f"http://windlass.test/uploads/{number}"
    server.uploads["/uploads/1"] = BYTES[1000:1500]
    assert upload(server, states) == FILE
    sent = [request for request in server.requests if request.method == "PATCH"]
    assert [request.headers["Upload-Offset"] for request in sent] == ["500"]
    assert server.files == [BYTES]


def test_parts_that_the_server_no_longer_has_are_sent_again_once() -> None:
    class Forgetful(TusServer):
        def _concatenate(self, urls: list[str]) -> Response:
            if len(self.lengths) == 3:
                self.uploads.clear()
            return super()._concatenate(urls)

    server = Forgetful()
    assert upload(server) == FILE
    assert (len(server.lengths), server.files) == (6, [BYTES])

    class Gone(TusServer):
        def _concatenate(self, urls: list[str]) -> Response:
            self.uploads.clear()
            return super()._concatenate(urls)

    with pytest.raises(NotFound):
        upload(Gone())


def test_a_concatenation_that_takes_longer_than_its_request_is_waited_for() -> None:
    class Slow(TusServer):
        polls = 0

        def answer(self, request: Request) -> Outcome:
            if request.url.endswith("/uploads/final"):
                self.polls += 1
                return Response(200, {"windlass-file": f"/files/{FILE}/"} if self.polls == 3 else {})
            return super().answer(request)

        def _concatenate(self, urls: list[str]) -> Response:
            super()._concatenate(urls)
            return Response(201, {"location": "/uploads/final"})

    server = Slow()
    assert upload(server) == FILE
    assert server.polls == 3


def test_a_refused_concatenation_ends_the_upload_and_forgets_the_parts() -> None:
    class Strict(TusServer):
        def _concatenate(self, urls: list[str]) -> Response:
            return problem(422, "checksum-mismatch")

    states: dict[Any, StoredUrl] = {}
    server = Strict()
    with pytest.raises(Invalid):
        upload(server, states)
    assert {state.url for state in states.values()} == {None}
    assert server.uploads == {}, "and deletes them: they would count against the quota"


@pytest.mark.parametrize("status", [401, 503])
def test_a_refusal_that_may_pass_keeps_the_parts(status: int) -> None:
    class Closed(TusServer):
        def _concatenate(self, urls: list[str]) -> Response:
            return problem(status, "later")

    states: dict[Any, StoredUrl] = {}
    server = Closed()
    with pytest.raises(Refused):
        upload(server, states)
    assert len(server.uploads) == 3
    assert None not in {state.url for state in states.values()}


def test_the_parts_keys_are_derived_from_the_callers_key() -> None:
    def keys() -> list[str]:
        server = TusServer()
        upload(server, idempotency_key="order-17")
        return [request.headers["Idempotency-Key"] for request in server.requests if request.method == "POST"]

    first = keys()
    assert first == keys(), "another machine finds the same partial uploads"
    assert len(set(first)) == 4
    assert first[-1] == '"order-17"'
