"""Uploads through a real nginx, with and without its buffering of requests: a connection of nginx's carries one request
after another, and threads read the bodies of some of them from its socket."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests import services
from tests.conftest import require
from tests.process.conftest import ServerProcess
from tests.process.wire import MB, TUS, create, patch

CONTENTS = [random.Random(seed).randbytes(3 * MB + seed) for seed in range(8)]
LOCATION = """
location /files/ {{
    proxy_pass {upstream};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    client_max_body_size 0;
    proxy_request_buffering {buffering};
}}
"""


@pytest.fixture(params=["on", "off"])
def behind_nginx(request: pytest.FixtureRequest, make_server: Callable[..., ServerProcess]) -> Iterator[str]:
    program = require(services.find_nginx(), "nginx is not installed")
    server = make_server()
    location = LOCATION.format(upstream=server.url, buffering=request.param)
    with services.nginx(program, server.url, location) as url:
        yield url


def test_files_are_stored_as_they_were_sent(behind_nginx: str) -> None:
    def send(number: int) -> None:
        content = CONTENTS[number]
        with httpx.Client(base_url=behind_nginx, timeout=60) as http:
            match number % 3:
                case 0:
                    record = http.post("/files/", params={"filename": "a.bin"}, content=content).json()
                case 1:
                    record = http.post("/files/", files={"file": ("a.bin", content)}).json()
                case _:
                    path = create(http, len(content))
                    assert patch(http, path, 0, content).status_code == 204
                    record = http.get(http.head(path, headers=TUS).headers["Windlass-File"]).json()
            assert record["checksum"] == hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(send, range(len(CONTENTS))))
