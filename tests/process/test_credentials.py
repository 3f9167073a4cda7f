"""Credentials of a real server: users by commands, signing in, JWTs of an application that uses the media API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import samples
from tests.jwt_issuer import SECRET, public_pem, token
from tests.process.conftest import ServerProcess
from tests.process.serving import run
from tests.process.test_media_api import API, chunk, init_upload
from tests.process.wire import connect

PASSWORD = "seven-ells-of-rope"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(
        tmp_path_factory.mktemp("credentials") / "home",
        AUTH_MODE="required",
        JWT_SECRET=SECRET,
        JWT_AUDIENCE="media",
        RATE_LIMIT_PER_MINUTE="0",
    )
    made.start()
    yield made
    made.stop()


def bearer(server: ServerProcess, credential: str) -> httpx.Client:
    return connect(server, headers={"Authorization": f"Bearer {credential}"})


def user(server: ServerProcess, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "windlass", "user", *arguments, *(["--password-file", "-"] if password else [])],
        env=server.environment | {"WINDLASS_HOME": str(server.home)},
        input=password,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_media_api_with_the_jwt_of_an_application(server: ServerProcess) -> None:
    """As its users send it: a token of the application's session, renewed during the upload."""
    video = samples.mp4(320, 240, 2)

    def caller(**claims: Any) -> httpx.Client:
        return bearer(server, token(**({"sub": "member-17", "aud": "media"} | claims)))

    with caller(jti="first") as first, caller(jti="second") as second, caller(sub="member-18") as other:
        made = init_upload(first, video).json()
        upload, total = made["upload_id"], made["total_chunks"]
        assert chunk(first, upload, 0, video).status_code == 200
        assert chunk(other, upload, 1, video).status_code == 404
        for index in range(1, total):
            assert chunk(second, upload, index, video).status_code == 200
        media = second.post(f"{API}/upload/{upload}/finalize", json={"post_id": "post-1"}).json()
        assert media["status"] == "READY"
        assert second.get(f"{API}/{media['id']}").json()["media_type"] == "video"
        assert other.get(f"{API}/{media['id']}").status_code == 404
        assert first.post(f"{API}/posts/post-1/published", json={"success": True}).json()["released"] == 1
    for wrong in (caller(exp=1), caller(aud="shop"), caller(aud=None)):
        with wrong:
            refused = wrong.get(f"{API}/supported-formats")
            assert (refused.status_code, refused.json()["type"]) == (401, "/problems/invalid-token")
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_a_user_signs_in_until_disabled(server: ServerProcess) -> None:
    assert user(server, "add", "ann", password=PASSWORD).returncode == 0
    api_token = server.command("token", "create", "--user", "ann", "--scope", "read").stdout.strip()
    with connect(server) as nobody:

        def sign_in(password: str = PASSWORD) -> httpx.Response:
            return nobody.post("/api/v1/auth/token", json={"username": "ann", "password": password})

        tokens = sign_in().json()
        with bearer(server, tokens["access"]) as ann, bearer(server, api_token) as reader:
            assert ann.post("/files/?filename=a.txt", content=b"of ann").status_code == 201
            assert len(reader.get("/files/").json()["results"]) == 1
            assert reader.post("/files/?filename=a.txt", content=b"x").json()["required_scope"] == "write"
            renewed = nobody.post("/api/v1/auth/refresh", json={"refresh": tokens["refresh"]}).json()

            assert user(server, "disable", "ann").returncode == 0
            assert "may not sign in" in user(server, "list").stdout
            assert ann.get("/files/").status_code == reader.get("/files/").status_code == 401
            assert sign_in().status_code == 401
            refused = nobody.post("/api/v1/auth/refresh", json={"refresh": renewed["refresh"]})
            assert refused.status_code == 401

            assert user(server, "enable", "ann").returncode == 0
            assert reader.get("/files/").status_code == ann.get("/files/").status_code == 200
            assert user(server, "password", "ann", password="nine-ells-of-rope").returncode == 0
            assert ann.get("/files/").status_code == 401, "the sign-in ended with the password"
            assert reader.get("/files/").status_code == 200, "an API token does not"
        assert sign_in().status_code == 401
        assert sign_in("nine-ells-of-rope").status_code == 200
    assert "there is no user 'zoe'" in user(server, "disable", "zoe").stderr


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"JWT_SECRET": "short"}, "JWT_SECRET has a wrong value: it has 5 bytes; it must have at least 32"),
        ({"JWT_SECRET": SECRET, "JWT_PUBLIC_KEY": public_pem("ec")}, "JWT_PUBLIC_KEY and JWT_SECRET are set"),
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHMS": "none"}, "'none' is none of HS256"),
        ({"SECRET_KEY_FALLBACKS": "short"}, "A key of SECRET_KEY_FALLBACKS has 5 characters"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(tmp_path: Path, settings: dict[str, str], reason: str) -> None:
    result = run("serve", "--port", "0", home=tmp_path / "home", **settings)
    assert result.returncode == 2
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr
