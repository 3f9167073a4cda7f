"""Endpoints of models: what is sent, what counts as away or refused, and the circuit breaker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest

from tests.model_server import ModelServer, model_server
from tests.webhook_receiver import Answer
from windlass.kernel import process_counters
from windlass.knowledge import model_endpoint
from windlass.knowledge.model_endpoint import ModelAway, ModelEndpoint, ModelRefused
from windlass.resilience import circuit_breaker

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def endpoint(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelEndpoint]:
    monkeypatch.setattr(model_endpoint, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(circuit_breaker, "_shared", None)
    circuit_breaker.reset()
    yield ModelEndpoint("embeddings", server.url, timeout=5, api_key="sk-1")
    circuit_breaker.reset()


def json_answer(document: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(document).encode())


def test_vectors_are_in_the_order_of_the_texts(server: ModelServer, endpoint: ModelEndpoint) -> None:
    vectors = endpoint.embed("small", ["one", "two", "one"])
    assert vectors[0] == vectors[2] != vectors[1]
    (request,) = server.receiver.received
    assert request.document == {"model": "small", "input": ["one", "two", "one"], "encoding_format": "float"}
    assert request.headers["authorization"] == "Bearer sk-1"
    assert endpoint.embed("small", []) == []
    assert "sk-1" not in repr(endpoint)


def test_tokens_and_calls_are_counted(server: ModelServer, endpoint: ModelEndpoint) -> None:
    def counts() -> list[float]:
        outcomes = [process_counters.model_calls.value("embeddings", outcome) for outcome in ("answered", "failed")]
        return [process_counters.model_tokens.value("embeddings", "prompt"), *outcomes]

    before = counts()
    server.statuses = [Answer(500)]
    endpoint.embed("small", ["three words here"])
    assert [after - earlier for after, earlier in zip(counts(), before, strict=True)] == [3, 1, 1]


@pytest.mark.parametrize("failure", [Answer(500), Answer(503), Answer(429, {"Retry-After": "0.1"}), Answer(408)])
def test_a_short_failure_is_tried_again(server: ModelServer, endpoint: ModelEndpoint, failure: Answer) -> None:
    server.statuses = [replace(failure, headers={"Retry-After": "0"}), failure]
    assert len(endpoint.embed("small", ["text"])) == 1
    assert len(server.receiver.received) == 3


def test_attempts_are_bounded(server: ModelServer, endpoint: ModelEndpoint) -> None:
    server.away = True
    with pytest.raises(ModelAway):
        endpoint.embed("small", ["text"])
    assert len(server.receiver.received) == model_endpoint.ATTEMPTS


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_wrong_settings_count_as_away_at_once(server: ModelServer, endpoint: ModelEndpoint, status: int) -> None:
    server.statuses = [Answer(status, {"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(ModelAway, match=str(status)):
        endpoint.embed("small", ["text"])
    assert len(server.receiver.received) == 1


def test_a_long_pause_is_not_waited_for(server: ModelServer, endpoint: ModelEndpoint) -> None:
    server.statuses = [Answer(429, {"Retry-After": "60"})]
    with pytest.raises(ModelAway) as away:
        endpoint.embed("small", ["text"])
    assert away.value.retry_after == 60
    assert endpoint.admits_calls()


def test_the_breaker_opens(server: ModelServer, endpoint: ModelEndpoint) -> None:
    server.away = True
    for _ in range(2):
        with pytest.raises(ModelAway):
            endpoint.embed("small", ["text"])
    assert not endpoint.admits_calls()
    count = len(server.receiver.received)
    with pytest.raises(ModelAway) as away:
        endpoint.embed("small", ["text"])
    assert len(server.receiver.received) == count == 5
    assert away.value.retry_after > 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400),
        Answer(422),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 100_000),
        json_answer([]),
        json_answer({"data": []}),
        json_answer({"data": [{"index": 0}]}),
        json_answer({"data": [{"embedding": []}]}),
        json_answer({"data": [{"embedding": ["a"]}]}),
        json_answer({"data": [{"embedding": [float("nan")]}]}),
        json_answer({"data": [1]}),
    ],
)
def test_an_unusable_answer_is_refused(server: ModelServer, endpoint: ModelEndpoint, answer: Answer) -> None:
    server.statuses = [answer]
    with pytest.raises(ModelRefused):
        endpoint.embed("small", ["text"])
    assert len(server.receiver.received) == 1


def test_vectors_of_two_sizes_are_refused(server: ModelServer, endpoint: ModelEndpoint) -> None:
    server.statuses = [json_answer({"data": [{"embedding": [1]}, {"embedding": [1, 2]}]})]
    with pytest.raises(ModelRefused, match="size"):
        endpoint.embed("small", ["a", "b"])


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for() -> None:
    sent: list[int] = []

    class Drops(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for number in range(100):
                sent.append(number)
                yield b" "

    with pytest.raises(ModelAway, match="in time"):
        model_endpoint._body(httpx.Response(200, stream=Drops()), 0.0, "embeddings")
    assert sent == [0]


def test_nobody_listens(endpoint: ModelEndpoint, unused_port: Callable[[], int]) -> None:
    gone = replace(endpoint, url=f"http://127.0.0.1:{unused_port()}/v1")
    with pytest.raises(ModelAway, match="cannot be reached"):
        gone.embed("small", ["text"])


def test_a_chat_asks_for_its_schema(server: ModelServer, endpoint: ModelEndpoint) -> None:
    message = {"message": {"content": '{"a": 1}'}, "finish_reason": "length"}
    server.statuses = [json_answer({"choices": [message], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})]
    schema = {"type": "object"}
    completion = endpoint.complete("big", [{"role": "user", "content": "?"}], max_tokens=9, schema=schema)
    assert (completion.text, completion.is_cut) == ('{"a": 1}', True)
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 2)
    (request,) = server.receiver.received
    assert request.path == "/v1/chat/completions"
    assert request.document["temperature"] == 0
    assert request.document["max_tokens"] == 9
    assert request.document["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize("document", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}])
def test_a_chat_without_text_is_refused(server: ModelServer, endpoint: ModelEndpoint, document: object) -> None:
    server.statuses = [json_answer(document)]
    with pytest.raises(ModelRefused, match="no text"):
        endpoint.complete("big", [{"role": "user", "content": "?"}], max_tokens=9)


@pytest.fixture
def unused_port() -> Callable[[], int]:
    from tests.services import free_port

    return free_port
