"""The services that tests stand on: each is real, empty, and one's own."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import psycopg
import pytest
import redis as redis_client

from tests import conftest, services


def test_each_database_is_empty_and_its_own(postgres_server: services.Postgres) -> None:
    first, second = postgres_server.new_database(), postgres_server.new_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mark (id int)")
    with psycopg.connect(second) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert tables == []


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_at_the_start_of_every_test(redis: str, turn: int) -> None:
    with redis_client.Redis.from_url(redis) as connection:
        assert connection.keys() == []
        connection.set(f"turn {turn}", "1")


@pytest.fixture
def hello() -> Iterator[str]:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers["Host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_nginx_passes_requests_and_the_host_on(nginx: Callable[[str], str], hello: str) -> None:
    url = nginx(hello)
    with urlopen(url) as reply:
        assert f"http://{reply.read().decode()}" == url


def test_a_missing_service_skips_locally_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no such thing"):
        conftest.require(None, "no such thing")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such thing"):
        conftest.require(None, "no such thing")
    assert conftest.require("here", "no such thing") == "here"
