"""Uploads in parallel parts without a server: a test plays it for all parts, in any order."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.pure.client_exchange import FILE, RECORD, SERVER, StoredUrl, body_of, json_response, problem, retry_budget
from windlass.client import Invalid, NotFound, Refused, UploadSettings, automatic_parts, send_source
from windlass.client.automatic_parts import LEAST_PART_BYTES, ConnectionCount, FixedCount, parts_of
from windlass.client.calls import Calls
from windlass.client.effects import Call, ConnectionFailure, Effect, Flow, Outcome, Request, Response, Sleep, Together
from windlass.client.parallel_upload import ParallelUpload
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


class Link(TusServer):
    """Answers appends after the time that a link with these rates takes. An ordinary upload becomes a file too.

    ``one``: bytes per second of one connection; ``whole``: of all connections of a round together.
    """

    def __init__(self, one: float, whole: float, refuse: dict[str, str] | None = None) -> None:
        super().__init__()
        self._one, self._whole, self._refuse = one, whole, refuse or {}
        self.connections: list[int] = []

    def answer(self, request: Request) -> Outcome:
        concat = request.headers.get("Upload-Concat", "")
        if request.method == "POST" and concat[:5] in self._refuse:
            return problem(429, self._refuse[concat[:5]])
        if request.method == "POST" and not concat:
            url = f"/uploads/{len(self.lengths)}"
            self.uploads[url], self.lengths[url] = b"", int(request.headers["Upload-Length"])
            self.requests.append(request)
            return Response(201, {"location": url})
        if request.method == "GET":
            return json_response({**RECORD, "checksum": None})
        answer = super().answer(request)
        if request.method == "PATCH":
            assert isinstance(answer, Response)
            assert not isinstance(request.body, bytes)
            share = min(self._one, self._whole / self.connections[-1] if self.connections else self._one)
            path = request.url.removeprefix("http://windlass.test")
            is_whole = self.lengths[path] == len(self.uploads[path]) == LARGE
            headers = dict(answer.headers) | ({"windlass-file": f"/files/{FILE}/"} if is_whole else {})
            return Response(answer.status, headers, seconds=request.body.length / share)
        return answer


KB, MB = 1024, 1024 * 1024
#: A large file of these tests, in which every size is a 1024th part of what it is.
LARGE = 64 * KB
LARGE_BYTES = random.Random(1).randbytes(LARGE)


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic_parts, "LEAST_PART_BYTES", 8 * KB)
    monkeypatch.setattr(send_source, "LEAST_FILE_BYTES", LARGE)
    monkeypatch.setattr(send_source, "TRIAL_BYTES", 4 * KB)


def send_large(link: Link, directory: Path, **options: Any) -> list[str]:
    """Upload a large file by the client's call; return the notices."""
    notices: list[str] = []
    calls = Calls("http://windlass.test", None, 60.0, None, directory)
    play(calls.upload(io.BytesIO(LARGE_BYTES), on_notice=notices.append, **options), link)
    return notices


def play(flow: Flow[Any], server: TusServer) -> Any:
    """Run a flow, with the flows of a group one effect at a time in turn."""
    try:
        effect = next(flow)
        while True:
            try:
                result = perform(effect, server)
            except Refused as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
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
        case Together(flows, limit):
            flows = list(flows)
            if isinstance(server, Link) and len(flows) <= limit:
                server.connections.append(len(flows))
            return [result for some in batched(flows, limit) for result in play_in_turn(some, server)]
    raise AssertionError(effect)


def batched(flows: Sequence[Flow[Any]], limit: int) -> Iterator[list[Flow[Any]]]:
    remaining = iter(flows)
    while some := list(islice(remaining, limit)):
        yield some


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
        SERVER, source, settings, PARTS, FixedCount(3), lambda part: states.setdefault(part, StoredUrl()), retry_budget
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


@pytest.mark.usefixtures("small_sizes")
def test_a_link_that_one_connection_fills_quickly_gets_one_upload(tmp_path: Path) -> None:
    link = Link(one=50 * KB, whole=50 * KB)
    assert send_large(link, tmp_path) == []
    assert [len(data) for data in link.uploads.values()] == [LARGE]
    assert [request.headers["Upload-Offset"] for request in link.requests if request.method == "PATCH"] == [
        "0",
        str(4 * KB),
    ]


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize(
    ("whole", "rounds"), [(1 * KB, [2]), (2 * KB, [2, 4]), (100 * KB, [2, 4])], ids=["no gain", "a gain of two", "each"]
)
def test_connections_are_added_as_long_as_the_whole_gains(tmp_path: Path, whole: float, rounds: list[int]) -> None:
    link = Link(one=1 * KB, whole=whole)
    assert send_large(link, tmp_path) == ["Sending the file in parts, over several connections"]
    assert link.files == [LARGE_BYTES]
    assert link.connections[1 : 1 + len(rounds)] == rounds, "behind the digest and the sending of parts"
    trial = next(request for request in link.requests if request.method == "PATCH")
    assert trial.url not in {f"http://windlass.test{path}" for path in link.uploads}, "the first upload is deleted"


@pytest.mark.usefixtures("small_sizes")
def test_the_progress_does_not_fall_where_parts_follow_the_first_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automatic_parts, "LEAST_PART_BYTES", 2 * KB)
    progress: list[int] = []
    send_large(Link(one=1 * KB, whole=2 * KB), tmp_path, on_progress=lambda sent, _: progress.append(sent))
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (4 * KB, LARGE)


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("options", [{"parallel_parts": 1}, {"idempotency_key": "order-17"}], ids=str)
def test_who_asks_for_one_upload_gets_one(tmp_path: Path, options: dict[str, Any]) -> None:
    link = Link(one=1 * KB, whole=100 * KB)
    assert send_large(link, tmp_path, **options) == []
    assert [len(data) for data in link.uploads.values()] == [LARGE]


@pytest.mark.usefixtures("small_sizes")
@pytest.mark.parametrize("request_kind", ["parti", "final"])
@pytest.mark.parametrize("slug", ["too-many-uploads", "quota-exceeded"])
def test_parts_that_a_limit_of_the_owner_refuses_are_sent_as_one_upload(
    tmp_path: Path, slug: str, request_kind: str
) -> None:
    link = Link(one=1 * KB, whole=100 * KB, refuse={request_kind: slug})
    assert send_large(link, tmp_path)[-1] == "The server limits uploads at the same time; sending the file in one"
    assert [len(data) for data in link.uploads.values()] == [LARGE], "and the parts are deleted"


@pytest.mark.usefixtures("small_sizes")
def test_a_later_run_goes_on_with_the_parts_of_an_earlier_one(tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    source.write_bytes(LARGE_BYTES)

    class Ends(Link):
        def _concatenate(self, urls: list[str]) -> Response:
            return problem(401, "unauthenticated")

    first = Ends(one=1 * KB, whole=100 * KB)
    calls = Calls("http://windlass.test", None, 60.0, None, tmp_path)
    with pytest.raises(Refused):
        play(calls.upload(source), first)
    second = Link(one=1 * KB, whole=100 * KB)
    second.uploads, second.lengths = first.uploads, first.lengths
    play(calls.upload(source), second)
    assert second.files == [LARGE_BYTES]
    assert [request.method for request in second.requests if request.method == "PATCH"] == []


@pytest.mark.parametrize("size", [64 * MB, 64 * MB + 1, 130 * MB, 10 * 1024 * MB])
def test_automatic_parts_cover_the_file_and_are_not_many(size: int) -> None:
    parts = automatic_parts.automatic_parts(size)
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == size
    assert len(parts) <= 38
    assert min(end - start for start, end in parts) >= LEAST_PART_BYTES


def test_the_number_of_connections_grows_to_a_bound_and_falls_back() -> None:
    count = ConnectionCount(1.0)
    seen = []
    for total in (2.0, 4.0, 8.0, 100.0):
        seen.append(count.current)
        count.note([total / count.current] * count.current)
    assert (seen, count.current, count.is_settled) == ([2, 4, 8, 8], 8, True)

    count = ConnectionCount(1.0)
    count.note([1.0, 1.0])
    count.note([0.5] * 4)
    assert (count.current, count.is_settled) == (2, True)

    count = ConnectionCount(None)
    count.note([None, 1.0])
    assert (count.current, count.is_settled) == (2, False), "a part that was there already says nothing"
