"""Four web processes and sixty-four clients: how many calls are admitted, on one machine and with Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.redis_process import Redis
from tests.process.serving import Running, free_port, new_home, run, until

pytestmark = pytest.mark.slow

PROCESSES, CLIENTS, CALLS = 4, 64, 5
#: With the burst; far below what the clients send.
PER_MINUTE, BURST = 100, 20
CREATE = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def web_processes(stack: ExitStack, home: Path, number: int, **settings: str) -> list[str]:
    """The URLs of web processes that share a home, and have no worker."""
    new_home(home, **settings)
    ports = [free_port() for _ in range(number)]
    for port in ports:
        stack.enter_context(Running("web", "--port", str(port), home=home, **settings))
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    for url in urls:
        until(lambda: answers(url), url)  # noqa: B023  called before the next iteration
    return urls


def statuses(urls: Sequence[str]) -> list[int]:
    """The statuses of CALLS creating calls of each of CLIENTS at the same time, spread over the processes."""

    def send(number: int) -> list[int]:
        with httpx.Client(base_url=urls[number % len(urls)], timeout=60) as http:
            return [http.post("/files/", headers=CREATE).status_code for _ in range(CALLS)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [status for found in pool.map(send, range(CLIENTS)) for status in found]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(require(services.find_redis(), "redis-server is not on PATH"), tmp_path)
    yield server
    server.kill()


def limits(**more: str) -> dict[str, str]:
    return {"RATE_LIMIT_PER_MINUTE": str(PER_MINUTE), "RATE_LIMIT_BURST": str(BURST), "AUTH_MODE": "open"} | more


def test_processes_of_one_machine_share_one_count(tmp_path: Path) -> None:
    with ExitStack() as stack:
        urls = web_processes(stack, tmp_path / "home", PROCESSES, **limits())
        found = statuses(urls)
        assert set(found) == {201, 429}
        assert found.count(201) == PER_MINUTE + BURST


def test_processes_share_one_count_in_redis_and_go_on_without_it(tmp_path: Path, redis: Redis) -> None:
    with ExitStack() as stack:
        urls = web_processes(stack, tmp_path / "home", PROCESSES, **limits(RATE_LIMIT_STORAGE_URL=redis.url))
        found = statuses(urls)
        assert set(found) == {201, 429}
        assert found.count(201) == PER_MINUTE + BURST

        settings = limits(RATE_LIMIT_STORAGE_URL=redis.url)
        assert "Redis answers" in run("check", home=tmp_path / "home", **settings).stdout
        redis.kill()
        found = statuses(urls)
        assert set(found) == {201, 429}, "a Redis that is away refuses nobody, and each machine still has its limit"
        assert found.count(201) == PER_MINUTE + BURST

        redis.start()
        breaker = "/error-handling/circuit-breakers/rate_limits"
        httpx.post(f"{urls[0]}{breaker}/reset/", timeout=30).raise_for_status()
        for url in urls:  # each process knows within a second
            until(lambda: httpx.post(f"{url}/files/", headers=CREATE, timeout=30).status_code == 201, url)  # noqa: B023
        found = statuses(urls)
        assert found.count(201) == PER_MINUTE + BURST - PROCESSES, "the new Redis knows nothing of before"


def test_processes_share_one_count_of_open_uploads_of_an_address(tmp_path: Path) -> None:
    """Parallel requests in every dialect; the large raw bodies end, and leave nothing open."""
    settings = limits(RATE_LIMIT_PER_MINUTE="0", MAX_OPEN_UPLOADS_PER_ADDRESS="20")
    with ExitStack() as stack:
        urls = web_processes(stack, tmp_path / "home", 2, **settings)

        def send(number: int) -> int:
            url = urls[number % 2]
            match number // 2 % 4:
                case 0:
                    reply = httpx.post(f"{url}/files/", headers=CREATE, timeout=60)
                case 1:
                    reply = httpx.post(f"{url}/files/", headers={"Upload-Complete": "?0"}, content=b"a", timeout=60)
                case 2:
                    asked = {"filename": "a", "total_size": 5, "mime_type": ""}
                    reply = httpx.post(f"{url}/api/v1/upload/init", json=asked, timeout=60)
                case _:
                    reply = httpx.put(f"{url}/files/a.bin", content=bytes(3 * 2**20), timeout=60)
                    return 0 if reply.status_code in (201, 429) else reply.status_code
            return reply.status_code

        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(send, range(80)))
        assert set(found) == {0, 201, 429}
        # The last creating calls ran while no body was being received: every place is taken.
        while (reply := httpx.post(f"{urls[0]}/files/", headers=CREATE, timeout=60)).status_code == 201:
            found.append(reply.status_code)
        assert found.count(201) == 20
        assert reply.json()["open"] == 20


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One web process that admits three creating calls of an address, and receives two MiB a second of an owner."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "profiles.toml").write_text("[default]\nmax_bytes_per_second = 2_097_152\n")
    settings = {"WINDLASS_PROFILES": str(folder / "profiles.toml"), "TRUSTED_PROXIES": "127.0.0.1"}
    with ExitStack() as stack:
        yield from web_processes(
            stack, folder / "home", 1, **limits(RATE_LIMIT_PER_MINUTE="3", RATE_LIMIT_BURST="0", **settings)
        )


def test_clients_behind_nginx_are_told_apart(slow_server: str) -> None:
    program = require(services.find_nginx(), "nginx is not installed")
    with services.nginx(program, slow_server) as url:
        for address in ("127.0.0.2", "127.0.0.3"):
            transport = httpx.HTTPTransport(local_address=address)
            with httpx.Client(base_url=url, transport=transport, timeout=30) as http:
                found = [http.post("/files/", headers=CREATE).status_code for _ in range(5)]
                assert found == [201, 201, 201, 429, 429]


def test_a_profile_slows_uploads_down(slow_server: str) -> None:
    """Two uploads of two MiB each, of one owner: the first second is free."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        puts = [
            pool.submit(httpx.put, f"{slow_server}/files/{name}", content=bytes(2 * 2**20), timeout=60) for name in "ab"
        ]
    assert [each.result().status_code for each in puts] == [201, 201]
    assert time.monotonic() - began > 0.9
