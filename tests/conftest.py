"""What every test may ask for: real services, or a reason to be skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar

import pytest
import redis as redis_client

from tests import reasons, services

Part = TypeVar("Part")


#: What the present test's refusals and failures say.
seen_reasons: set[str] = set()
reasons.observe(seen_reasons)


@pytest.fixture(autouse=True)
def plain_reasons() -> Iterator[None]:
    """Every refusal and failure that a test brings about is told in a sentence of ours (``tests/reasons.py``)."""
    seen_reasons.clear()
    yield
    wrong = {reason: found for reason in seen_reasons if (found := reasons.faults(reason))}
    assert not wrong, f"Reasons that users cannot understand: {wrong}"


def require(part: Part | None, reason: str) -> Part:
    """`part` itself, if it is there. Without it the test is skipped; in CI (CI=true) it fails, so that no test is
    missing there unseen."""
    if part:
        return part
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(f"{reason} (CI must have every real part)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[services.Postgres]:
    """One PostgreSQL for the whole run."""
    programs = require(services.find_postgres(), "PostgreSQL's server programs are not installed")
    with services.postgres(programs) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: services.Postgres) -> str:
    """DATABASE_URL of an empty database in a real PostgreSQL."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """One Redis for the whole run."""
    with services.redis(require(services.find_redis(), "redis-server is not on PATH")) as url:
        yield url


@pytest.fixture
def redis(redis_server: str) -> str:
    """URL of a real Redis, empty."""
    with redis_client.Redis.from_url(redis_server) as connection:
        connection.flushall()
    return redis_server


@pytest.fixture(scope="session")
def clamd_program() -> str:
    return require(services.find_clamd(), "clamd is not installed")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[services.S3Server]:
    """One S3 server for the whole run, which no test may stop."""
    with services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")) as server:
        yield server


@pytest.fixture(scope="module")
def sftp_server() -> Iterator[services.Sftp]:
    """An SSH server. Its children live in sessions of their own, which later modules would take for the sandbox's."""
    with services.sftp(require(services.find_sshd(), "OpenSSH's server is not installed")) as server:
        yield server


@pytest.fixture
def nginx() -> Iterator[Callable[[str], str]]:
    """A function that puts a real nginx before a server's URL and gives the URL in front."""
    program = require(services.find_nginx(), "nginx is not installed")
    with ExitStack() as stack:
        yield lambda upstream: stack.enter_context(services.nginx(program, upstream))
