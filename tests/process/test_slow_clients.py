"""A normal client beside slow ones that take every connection the server may have (``make slow-clients``: 10,000)."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import psutil
import pytest

from benchmarks.slow_clients import Options, mebibytes, slow_clients, upload_times
from tests.process.conftest import ServerProcess


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs the many loopback addresses of Linux")
def test_uploads_beside_500_slow_connections(make_server: Callable[..., ServerProcess]) -> None:
    """There may be 250 connections, and 500 slow clients want one each."""
    server = make_server(MAX_CONNECTIONS="250")
    web = psutil.Process(server.web_pid())
    upload_times(server.port, 3)
    with slow_clients(server.port, Options(connections=500, bodies=20, uploads=0)) as ended:
        memory = mebibytes(web)
        times = upload_times(server.port, 10)
        happened = ended()
    assert happened["closed"] > 250, happened  # they made way for others
    assert statistics.median(times) < 1, times
    assert mebibytes(web) - memory < 16
