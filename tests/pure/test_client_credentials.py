"""Credentials of the client without a server: tokens that are renewed, and sign-ins that are refreshed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.pure.client_exchange import (
    CONNECTION_BROKE,
    FILE,
    RECORD,
    Exchange,
    json_response,
    problem,
    retry_budget,
)
from windlass.client import BadAnswer, File, GaveUp, Password, RefreshToken, Unauthenticated, api_calls
from windlass.client import credentials as module
from windlass.client.effects import ConnectionFailure, OneAtATime, Request, Response
from windlass.client.server import Server

REFUSED = problem(401, "invalid-token")


def tokens(number: int, life: int = 900) -> Response:
    return json_response(
        {"access": f"access-{number}", "token_type": "bearer", "expires_in": life, "refresh": f"wlr_{number}"}
    )


def get_file(server: Server) -> Exchange[File]:
    return Exchange(api_calls.get_file(server, FILE, retry_budget()))


def server_with(token: module.Token, clock: Callable[[], float] | None = None) -> Server:
    server = Server("http://windlass.test", token)
    if clock is not None:
        server._credential = module.credential_of(token, server.base, clock)
    return server


def sent(request: Request) -> Any:
    assert isinstance(request.body, bytes)
    return json.loads(request.body)


def bearer(request: Request | None) -> str | None:
    assert request is not None
    return request.headers.get("Authorization")


def test_a_function_is_called_for_the_first_token_and_after_a_refusal() -> None:
    given = iter(["one", "two"])
    server = server_with(lambda: next(given))
    exchange = get_file(server)
    assert bearer(exchange.request) == "Bearer one"
    assert bearer(exchange.answer(REFUSED)) == "Bearer two"
    exchange.answer(json_response(RECORD))
    assert exchange.ended
    assert bearer(get_file(server).request) == "Bearer two", "and not with every request"


def test_a_fixed_token_that_is_refused_is_not_sent_again() -> None:
    with pytest.raises(Unauthenticated):
        get_file(server_with("wl_x")).answer(REFUSED)
    with pytest.raises(ValueError, match="line break"):
        server_with("wl_x\n")


def test_a_second_refusal_is_final() -> None:
    exchange = get_file(server_with(lambda: "same"))
    exchange.answer(REFUSED)
    with pytest.raises(Unauthenticated):
        exchange.answer(REFUSED)


def test_a_password_signs_in_and_the_sign_in_is_refreshed_before_it_expires() -> None:
    now = [100.0]
    server = server_with(Password("ana", "secret"), lambda: now[0])
    exchange = get_file(server)
    assert exchange.request.url == "http://windlass.test/api/v1/auth/token"
    assert "Authorization" not in exchange.request.headers
    assert sent(exchange.request) == {"username": "ana", "password": "secret"}
    assert bearer(exchange.answer(tokens(1))) == "Bearer access-1"
    now[0] += 869
    assert bearer(get_file(server).request) == "Bearer access-1"
    now[0] += 2
    exchange = get_file(server)
    assert exchange.request.url.endswith("/auth/refresh")
    assert sent(exchange.request) == {"refresh": "wlr_1"}
    assert bearer(exchange.answer(tokens(2))) == "Bearer access-2"


def test_a_sign_in_that_was_ended_begins_anew_with_the_password() -> None:
    server = server_with(Password("ana", "secret"))
    exchange = get_file(server)
    exchange.answer(tokens(1))
    assert exchange.answer(REFUSED) is not None
    assert exchange.request.url.endswith("/auth/refresh")
    exchange.answer(REFUSED)
    assert exchange.request.url.endswith("/auth/token")
    assert bearer(exchange.answer(tokens(2))) == "Bearer access-2"


def test_a_wrong_password_is_raised_and_not_repeated() -> None:
    exchange = get_file(server_with(Password("ana", "wrong")))
    with pytest.raises(Unauthenticated, match="It is so"):
        exchange.answer(REFUSED)
    assert "secret" not in repr(Password("ana", "secret"))


def test_the_next_refresh_token_is_stored_before_the_access_token_is_used() -> None:
    stored: list[str] = []
    exchange = get_file(server_with(RefreshToken("wlr_0", stored.append)))
    assert sent(exchange.request) == {"refresh": "wlr_0"}
    exchange.answer(tokens(1))
    assert stored == ["wlr_1"]
    exchange.answer(REFUSED)
    assert sent(exchange.request) == {"refresh": "wlr_1"}
    exchange.answer(tokens(2))
    assert stored == ["wlr_1", "wlr_2"]


def test_a_refresh_whose_answer_was_lost_is_not_repeated() -> None:
    """The server would take the second use for a theft, and end the sign-in."""
    exchange = get_file(server_with(RefreshToken("wlr_0")))
    with pytest.raises(GaveUp):
        exchange.answer(CONNECTION_BROKE)


@pytest.mark.parametrize(
    "outcome", [ConnectionFailure("no answer", 0.1, was_sent=False), Response(503, {"retry-after": "3"}), Response(429)]
)
def test_a_refresh_that_the_server_did_not_process_is_repeated(outcome: Any) -> None:
    exchange = get_file(server_with(RefreshToken("wlr_0")))
    exchange.answer(outcome)
    assert sent(exchange.request) == {"refresh": "wlr_0"}
    assert exchange.pauses == [3.0 if getattr(outcome, "retry_after", None) else 0.5]
    exchange.answer(tokens(1))
    assert bearer(exchange.request) == "Bearer access-1"


def test_an_answer_without_tokens_is_an_error() -> None:
    with pytest.raises(BadAnswer, match="no tokens"):
        get_file(server_with(Password("ana", "secret"))).answer(json_response({"access": "x"}))


def test_flows_that_need_a_token_at_the_same_time_get_it_once() -> None:
    """The second flow waits for the first one's renewal, and then uses its token."""
    server = server_with(RefreshToken("wlr_0"))
    first, second = (api_calls.get_file(server, FILE, retry_budget()) for _ in range(2))
    renewals = [next(first), next(second)]
    assert all(isinstance(effect, OneAtATime) for effect in renewals)
    flows = [effect.flow for effect in renewals if isinstance(effect, OneAtATime)]
    running = Exchange(flows[0])
    running.answer(tokens(1))
    assert running.result == "access-1"
    assert Exchange(flows[1]).result == "access-1", "without a request of its own"


def test_only_a_sign_in_by_password_is_ended_with_the_client() -> None:
    server = server_with(Password("ana", "secret"))
    get_file(server).answer(tokens(1))
    ending = Exchange(server.end_sign_in())
    assert ending.request.url.endswith("/auth/revoke")
    assert sent(ending.request) == {"refresh": "wlr_1"}
    ending.answer(CONNECTION_BROKE)
    assert ending.ended, "closing a client does not fail"
    given = server_with(RefreshToken("wlr_0"))
    get_file(given).answer(tokens(1))
    assert Exchange(given.end_sign_in()).ended
