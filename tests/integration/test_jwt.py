"""JSON Web Tokens on both planes, and the JWK Set of a real server: rotation, outages, bounds."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.asgi_client import ApiClient, make_file
from tests.jwt_issuer import SECRET, JwksServer, claims, jwk, jwks_server, private_key, public_pem, raw_token, token
from windlass.accounts.json_web_tokens import key_set
from windlass.accounts.json_web_tokens.key_set import FetchFailed, KeySet, check_jwks, fetch
from windlass.kernel.jwt_keys import VerificationKey
from windlass.kernel.problem_types import Unavailable
from windlass.resilience import circuit_breaker
from windlass.resilience.circuits import State

pytest_plugins = ["tests.integration.record_plane"]

Configure = Callable[..., None]


def bearer(signed: str) -> ApiClient:
    from windlass.asgi import application

    return ApiClient(application, signed)


@pytest.fixture
def closed(configure: Configure) -> Configure:
    """A server that requires credentials, and accepts tokens with SECRET."""
    configure(AUTH_MODE="required", JWT_SECRET=SECRET)
    return configure


def refusal(response: httpx.Response) -> str:
    """The description of an invalid token, which is in the challenge too."""
    assert response.status_code == 401, response.text
    document = response.json()
    assert document["type"] == "/problems/invalid-token"
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="windlass", error="invalid_token", error_description="')
    assert document["detail"].replace('"', "'") in challenge
    return str(document["detail"])


class TestOwners:
    def test_the_subject_owns_what_it_uploads_and_sees_nothing_else(self, closed: Configure) -> None:
        ana, ben = (bearer(token(sub=f"{name}-{uuid.uuid4()}")) for name in ("ana", "ben"))
        created = ana("POST", "/files/?filename=a.txt", content=b"of ana")
        assert created.status_code == 201
        path = f"/files/{created.json()['id']}/"
        assert ana("GET", path).status_code == 200
        assert ben("GET", path).status_code == 404
        assert [file["id"] for file in ana("GET", "/files/").json()["results"]] == [created.json()["id"]]
        assert ben("GET", "/files/").json()["results"] == []

    def test_a_subject_is_never_mistaken_for_a_user_of_this_server(self, closed: Configure, user: Any) -> None:
        from windlass.files.api import FileAsset

        local = user(app=None)
        file = make_file(local.owner)
        for subject in (local.owner.removeprefix("user:"), local.owner):
            assert bearer(token(sub=subject))("GET", f"/files/{file.id}/").status_code == 404
        created = bearer(token(sub=local.owner))("POST", "/files/?filename=a.txt", content=b"x").json()
        assert FileAsset.objects.get(id=created["id"]).owner == f"jwt:{local.owner}"

    def test_staff_by_claim(self, closed: Configure, configure: Configure) -> None:
        path = f"/files/{make_file('user:elsewhere').id}/"
        assert bearer(token(staff=True))("GET", path).status_code == 200
        assert bearer(token(staff=True))("GET", "/error-handling/health").status_code == 200
        assert bearer(token())("GET", "/error-handling/health").status_code == 403
        configure(JWT_STAFF_CLAIM="realm_access.roles", JWT_STAFF_VALUE="keeper")
        assert bearer(token(staff=True))("GET", path).status_code == 404
        assert bearer(token(realm_access={"roles": ["keeper"]}))("GET", path).status_code == 200

    def test_with_the_prefix_user_the_subject_is_a_user_of_this_server(
        self, closed: Configure, configure: Configure, user: Any
    ) -> None:
        from django.contrib.auth import get_user_model

        configure(JWT_OWNER_PREFIX="user:")
        local = user(app=None)
        key = local.owner.removeprefix("user:")
        file = make_file(local.owner)
        assert bearer(token(sub=key))("GET", f"/files/{file.id}/").status_code == 200
        for wrong in ("999999999", "9" * 100, "nobody", f"{key}.0", "-1"):
            assert "no user" in refusal(bearer(token(sub=wrong))("GET", "/files/"))
        get_user_model().objects.filter(pk=key).update(is_active=False)
        assert "no user" in refusal(bearer(token(sub=key))("GET", "/files/"))

    def test_staff_by_claim_alone_make_no_webhook_for_all_owners(self, closed: Configure) -> None:
        """Whether its owner is still staff could not be looked up when an event is sent."""
        wanted = {"url": "https://hooks.example.org/", "types": ["file.ready"], "all_owners": True}
        answer = bearer(token(staff=True))("POST", "/api/v1/webhooks/", json=wanted)
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


class TestRefusals:
    @pytest.mark.parametrize("path", ["/files/", "/uploads/0/", "/api/v1/quota"])
    def test_an_expired_token_is_401_with_a_challenge_on_both_planes(self, closed: Configure, path: str) -> None:
        assert refusal(bearer(token(exp=int(time.time()) - 60))("GET", path)) == "The token has expired."

    def test_a_refused_token_is_not_replaced_by_the_open_mode(self, configure: Configure) -> None:
        configure(AUTH_MODE="open", JWT_SECRET=SECRET)
        assert refusal(bearer(token(exp=1))("GET", "/files/")) == "The token has expired."

    def test_without_configuration_no_jwt_is_accepted(self, configure: Configure) -> None:
        configure(AUTH_MODE="required")
        assert refusal(bearer(token())("GET", "/files/")) == "JSON Web Tokens are not accepted here."

    def test_issuer_audience_and_algorithm_of_the_settings_count(self, closed: Configure, configure: Configure) -> None:
        configure(JWT_ISSUER="https://id.example", JWT_AUDIENCE="files,other")
        right = {"iss": "https://id.example", "aud": ["files"]}
        assert bearer(token(**right))("GET", "/files/").status_code == 200
        assert "issuer" in refusal(bearer(token(**(right | {"iss": "https://id.evil"})))("GET", "/files/"))
        assert "audience" in refusal(bearer(token(**(right | {"aud": "shop"})))("GET", "/files/"))
        assert "algorithm" in refusal(bearer(token("HS512", **right))("GET", "/files/"))

    def test_a_malformed_token_is_401_and_no_error_of_the_server(self, closed: Configure) -> None:
        payload = json.dumps(claims()).encode()
        for made in ("..", "a.b.c", "\xff.\xff.\xff", raw_token(b"[" * 2000, payload), token(padding="x" * 9000)):
            headers = {b"Authorization": b"Bearer " + made.encode("latin-1")}
            refusal(bearer("")("GET", "/files/", headers=headers))

    def test_a_previous_secret_still_verifies(self, closed: Configure, configure: Configure) -> None:
        configure(JWT_SECRET="another-secret-of-the-tests-of-enough-bytes", JWT_SECRET_FALLBACKS=SECRET)
        assert bearer(token())("GET", "/files/").status_code == 200
        configure(JWT_SECRET_FALLBACKS="")
        assert "signature" in refusal(bearer(token())("GET", "/files/"))

    @pytest.mark.parametrize(("algorithm", "kind"), [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed25519")])
    def test_tokens_of_a_public_key(self, configure: Configure, algorithm: str, kind: str) -> None:
        configure(AUTH_MODE="required", JWT_PUBLIC_KEY=public_pem(kind))
        assert bearer(token(algorithm))("GET", "/files/").status_code == 200
        assert "signature" in refusal(bearer(token(algorithm, private_key(kind, 9)))("GET", "/files/"))
        forged = raw_token(b'{"alg":"HS256"}', json.dumps(claims()).encode(), public_pem(kind).encode())
        assert "not known" in refusal(bearer(forged)("GET", "/files/"))


@pytest.fixture
def issuer(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[JwksServer]:
    """A real server of a JWK Set, which the settings name. Its breaker is closed."""
    from windlass.events.api import CircuitBreaker

    monkeypatch.setattr(key_set, "_current", None)
    CircuitBreaker.objects.filter(name=key_set.BREAKER).delete()
    circuit_breaker.reset()
    with jwks_server() as server:
        server.serve(jwk("rsa"))
        configure(AUTH_MODE="required", JWT_JWKS_URL=server.url)
        yield server
    circuit_breaker.reset()


class Clock:
    """A monotonic clock that tests set forward."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class Keys:
    """A key set with the clock of the test. ``verifies``: as a request with this ``kid``, fetch and look."""

    def __init__(self, url: str, fetch_keys: Callable[[str], list[VerificationKey]] = fetch) -> None:
        self.clock = Clock()
        self.set = KeySet(url, fetch_keys, self.clock)

    def knows(self, kid: str) -> bool:
        self.set.fetch_if_needed(kid)
        return any(key.kid == kid for key in self.set.keys)


class TestKeySet:
    def test_tokens_are_verified_and_the_set_is_fetched_once(self, issuer: JwksServer) -> None:
        for _ in range(3):
            assert bearer(token("RS256", header={"kid": "rsa-0"}))("GET", "/files/").status_code == 200
            assert bearer(token("RS256"))("GET", "/api/v1/quota").status_code == 200
        assert issuer.requests == 1

    def test_a_rotated_key_is_found_after_a_minute_and_unknown_ones_cost_nothing(self, issuer: JwksServer) -> None:
        keys = Keys(issuer.url)
        assert keys.knows("rsa-0")
        issuer.serve(jwk("rsa", 1))
        for _ in range(50):
            assert not keys.knows("rsa-1")
        assert issuer.requests == 1
        keys.clock.time += key_set.UNKNOWN_KID_SECONDS
        assert keys.knows("rsa-1")
        assert not keys.knows("rsa-0"), "a key that was withdrawn is valid no longer"
        assert issuer.requests == 2

    def test_a_withdrawn_key_is_forgotten_after_the_cache_time(self, issuer: JwksServer) -> None:
        keys = Keys(issuer.url)
        assert keys.knows("rsa-0")
        issuer.serve(jwk("ec"))
        keys.clock.time += 299
        assert keys.knows("rsa-0")
        keys.clock.time += 1
        assert not keys.knows("rsa-0")

    def test_an_outage_leaves_the_known_keys_and_delays_nobody_twice(self, issuer: JwksServer) -> None:
        keys = Keys(issuer.url)
        assert keys.knows("rsa-0")
        issuer.status = 500
        keys.clock.time += 300
        for _ in range(20):
            assert keys.knows("rsa-0")
        assert issuer.requests == 2
        keys.clock.time += key_set.RETRY_SECONDS
        assert keys.knows("rsa-0")
        assert issuer.requests == 3

    def test_the_breaker_opens_and_no_request_is_made(
        self, issuer: JwksServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(BREAKER_JWKS_FAILURE_THRESHOLD="2", BREAKER_JWKS_RECOVERY_SECONDS="3600")
        issuer.status = 503
        keys = Keys(issuer.url)
        for _ in range(5):
            with pytest.raises(Unavailable):
                keys.knows("rsa-0")
            keys.clock.time += key_set.RETRY_SECONDS
        assert issuer.requests == 2
        assert circuit_breaker.breaker("jwks").circuit.state is State.OPEN

    def test_the_breaker_is_listed(self, issuer: JwksServer, user: Any) -> None:
        from windlass.asgi import application

        answer = user(app=application, staff=True)("GET", "/error-handling/circuit-breakers")
        assert "jwks" in answer.json()["circuit_breakers"]

    def test_without_any_keys_the_reply_is_503_and_api_tokens_still_work(self, issuer: JwksServer, user: Any) -> None:
        from windlass.asgi import application

        issuer.status = 500
        answer = bearer(token("RS256"))("GET", "/files/")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert user(app=application)("GET", "/files/").status_code == 200

    def test_many_requests_at_once_fetch_once_and_block_no_database_thread(self, issuer: JwksServer, user: Any) -> None:
        from windlass.asgi import application

        answered = threading.Event()
        issuer.before = lambda: answered.wait(4) and None
        local = user(app=application)

        async def run() -> list[int]:
            holder, other = bearer(token("RS256")), local
            waiting = [asyncio.create_task(holder._send("GET", "/files/", headers=holder.headers)) for _ in range(12)]
            while not issuer.requests:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(3):
                quick = await other._send("GET", "/files/", headers=other.headers)
            answered.set()
            return [quick.status_code, *[(await each).status_code for each in waiting]]

        assert asyncio.run(run()) == [200] * 13
        assert issuer.requests == 1


class TestFetch:
    def test_bounds_and_errors(self, issuer: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for document, reason in (
            (b"no json", "cannot be used"),
            ({"keys": []}, "no public key"),
            (b'{"keys": [' + b" " * key_set.MAX_BYTES + b"]}", "more than"),
            (b"[" * 1000, "cannot be used"),
        ):
            issuer.document = document
            with pytest.raises(FetchFailed, match=reason):
                fetch(issuer.url)
        issuer.status = 302
        with pytest.raises(FetchFailed, match="answered 302"):
            fetch(issuer.url)
        with pytest.raises(FetchFailed, match="cannot be reached"):
            fetch("http://127.0.0.1:1/")

    def test_a_slow_issuer_is_given_up(self, issuer: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(key_set, "FETCH_SECONDS", 0.2)
        released = threading.Event()
        issuer.before = lambda: released.wait(5) and None
        began = time.monotonic()
        with pytest.raises(FetchFailed, match="within"):
            fetch(issuer.url)
        assert time.monotonic() - began < 3
        released.set()

    def test_windlass_check_describes_the_keys(self, issuer: JwksServer, configure: Configure) -> None:
        issuer.serve(jwk("rsa"), jwk("ec"))
        assert check_jwks() == f"2 keys of {issuer.url}, for ES256, RS256"
        configure(JWT_ALGORITHMS="EdDSA")
        with pytest.raises(FetchFailed, match="JWT_ALGORITHMS"):
            check_jwks()


def test_a_stream_ends_when_its_token_expires(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from windlass.http.live import credential_watch

    configure(AUTH_MODE="required", JWT_SECRET=SECRET, JWT_LEEWAY_SECONDS="0")
    monkeypatch.setattr(credential_watch, "RECHECK_SECONDS", 0.1)
    began = time.monotonic()
    assert bearer(token(exp=time.time() + 1))("GET", "/events/").status_code == 200
    assert 0.5 < time.monotonic() - began < 20


def test_check_warns_of_keys_that_are_fetched_in_clear(configure: Configure) -> None:
    from windlass.conf.system_checks import check_settings

    for url, warns in (("http://id.example/jwks", True), ("https://id.example/jwks", False), ("http://[::1]/", False)):
        configure(JWT_JWKS_URL=url)
        assert ("windlass.W014" in {message.id for message in check_settings(None)}) is warns


def test_a_token_in_a_log_line_is_hidden() -> None:
    from windlass.kernel.redaction import without_secrets

    assert without_secrets(f"got {token()} from ana") == "got *** from ana"
