"""What a chaos run breaks: ``windlass serve`` with its services, in one of four modes, behind a relay.

``embedded``: SQLite, the local store, the broker in a directory. ``redis`` and ``rabbitmq``: that broker, and
PostgreSQL, reached through a proxy that can cut it at COMMIT. ``s3``: SQLite, a scanner, and files in an S3 store,
reached through a proxy that can cut requests.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from tests import migrated_home, services
from tests.chaos.relay import Relay
from tests.process import step_package
from tests.process.conftest import ServerProcess
from tests.process.cutting_proxy import Proxy

T = TypeVar("T")

MODES = ("embedded", "redis", "rabbitmq", "s3")
MB = 1024 * 1024
#: The disk of the files, where one can be mounted: what a run holds at a time has room in it.
DISK = "1g"
#: A job's lease, which a stopped worker outlives.
JOB_LEASE_SECONDS = 4.0
#: What every mode sets: short waits, so that a run has many faults, and checkpoints within small bodies.
SETTINGS = {
    "SWEEP_SECONDS": "1",
    "JOB_LEASE_SECONDS": str(JOB_LEASE_SECONDS),
    "JOB_MAX_ATTEMPTS": "4",
    "JOB_BACKOFF_SECONDS": "0.2",
    "CHECKPOINT_BYTES": str(MB),
    "BREAKER_FAILURE_THRESHOLD": "3",
    "BREAKER_RECOVERY_SECONDS": "1",
    "DEAD_RETRY_PER_MINUTE": "6000",
    "WEB_PROCESSES": "2",
    "HEAVY_FILE_MB": "1",
    "DISK_RESERVE_MB": "0",
    "MAX_OPEN_UPLOADS_PER_OWNER": "0",
    "MAX_OPEN_UPLOADS_PER_ADDRESS": "0",
}
LIBRARIES = {
    "failing_sync": Path(__file__).parents[1] / "process" / "failing_sync.c",
    "shifted_clock": Path(__file__).with_name("shifted_clock.c"),
}


class Missing(Exception):
    """A program that this mode needs is not installed."""


def required(part: T | None, what: str) -> T:
    if part is None:
        raise Missing(f"{what} is not installed")
    return part


@dataclass
class System:
    """``mended``: once this file exists, stubborn files succeed. ``sync_trigger``: names files that cannot be synced.
    ``clock``: the file with the shift of the wall clock. ``disk``: the mounted directory of files, if there is one.
    The services that a mode does not have are None."""

    mode: str
    home: Path
    server: ServerProcess
    relay: Relay
    mended: Path
    sync_trigger: Path
    clock: Path
    disk: Path | None = None
    database: services.Postgres | None = None
    database_proxy: Proxy | None = None
    broker: services.Broker | None = None
    store: services.S3Server | None = None
    bucket: str = ""
    store_proxy: Proxy | None = None
    scanner: services.Clamd | None = None
    #: When a fault last happened after which the server may fail uploads that had been acknowledged (monotonic).
    excused_at: float = -1.0
    #: How many processes were killed: those of Windlass, of its services, the proxy. The whole server counts as one.
    kills: int = 0
    _probes: int = field(default=0)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.relay.port}"

    def is_excused(self, since: float) -> bool:
        return self.excused_at >= since

    def shift_clock(self, seconds: int) -> None:
        with self.clock.open("r+b") as file:
            file.write(struct.pack("q", seconds))

    def start_everything(self) -> None:
        """Bring back whatever is away. Services that run are left alone."""
        self.relay.start()
        self.shift_clock(0)
        self.sync_trigger.unlink(missing_ok=True)
        for proxy in (self.database_proxy, self.store_proxy):
            if proxy is not None:
                proxy.uncut()
        for program in (self.database and self.database.program, self.broker and self.broker.program):
            if program is not None and program.process is None:
                program.start()
        if self.store is not None and self.store.process is None:
            self.store.start()
        if self.scanner is not None and not self.scanner.is_running:
            self.scanner.start()

    def restart_server(self) -> None:
        """Kill what is left of the server, and start it."""
        self.server.kill()
        self.start_everything()
        self.server.start()

    def wait_until_recovered(self, within: float) -> float | None:
        """Return the seconds until a new upload is acknowledged and processed; None if that takes too long."""
        began = time.monotonic()
        file: str | None = None
        with httpx.Client(base_url=self.url, timeout=5, trust_env=False) as http:
            while time.monotonic() - began < within:
                with contextlib.suppress(httpx.HTTPError, KeyError):
                    if file is None:
                        self._probes += 1
                        reply = http.put(f"/files/probe-{self._probes}.txt", content=b"probe %d" % self._probes)
                        file = reply.json()["id"] if reply.status_code == 201 else None
                    elif http.get(f"/files/{file}/").json()["status"] == "READY":
                        http.delete(f"/files/{file}/")
                        return time.monotonic() - began
                time.sleep(0.05)
        return None


@contextlib.contextmanager
def running(mode: str, directory: Path) -> Iterator[System]:
    """Start it; everything is killed at the end. Raises Missing."""
    home, trigger, clock = directory / "home", directory / "no-sync", directory / "clock"
    clock.write_bytes(bytes(8))
    mended = directory / "mended"
    preloaded = {
        "LD_PRELOAD": ":".join(_compiled(directory)),
        "FAILING_SYNC": str(trigger),
        "SHIFTED_CLOCK": str(clock),
    }
    steps = step_package.install(directory / "plugins", step_package.STUBBORN) | {"HAWSER_MENDED": str(mended)}
    with ExitStack() as stack:
        parts, settings = _services(mode, stack)
        disk = None
        if "DATABASE_URL" not in settings:
            migrated_home.prepare(home)
        if mode != "s3":
            home.mkdir(mode=0o700, exist_ok=True)
            disk = stack.enter_context(services.disk(home / "media", DISK))
        server = ServerProcess(home, **SETTINGS | preloaded | steps | settings)
        stack.callback(server.kill)
        server.start()
        relay = Relay(server.port)
        stack.callback(relay.kill)
        yield System(mode, home, server, relay, mended, trigger, clock, disk, **parts)


def _services(mode: str, stack: ExitStack) -> tuple[dict[str, object], dict[str, str]]:
    """The services of a mode, as arguments of System, and the settings that name them."""
    if mode == "embedded":
        return {}, {}
    if mode == "s3":
        return _store_and_scanner(stack)
    database = stack.enter_context(services.postgres(required(services.find_postgres(), "PostgreSQL")))
    start = services.redis if mode == "redis" else services.rabbitmq
    program = services.find_redis() if mode == "redis" else services.find_rabbitmq()
    broker = stack.enter_context(start(required(program, mode)))
    proxy = Proxy(database.port)
    stack.callback(proxy.close)
    url = database.new_database().replace(f":{database.port}/", f":{proxy.port}/")
    parts: dict[str, object] = {"database": database, "database_proxy": proxy, "broker": broker}
    return parts, {"DATABASE_URL": url, "CELERY_BROKER_URL": broker.url}


def _store_and_scanner(stack: ExitStack) -> tuple[dict[str, object], dict[str, str]]:
    store = stack.enter_context(services.s3(required(services.find_s3(), "versitygw (or Go, to build it)")))
    scanner = stack.enter_context(services.clamd(required(services.find_clamd(), "clamd")))
    proxy, bucket = Proxy(store.port), store.new_bucket()
    stack.callback(proxy.close)
    settings = store.settings(bucket) | {"AWS_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
    parts: dict[str, object] = {"store": store, "bucket": bucket, "store_proxy": proxy, "scanner": scanner}
    return parts, settings | {"CLAMAV_URL": scanner.tcp, "AWS_S3_MAX_ATTEMPTS": "2"}


def _compiled(directory: Path) -> list[str]:
    """Compile what is preloaded into the server; returns the paths of the libraries."""
    compiler = required(shutil.which("cc"), "a C compiler (cc)")
    for name, source in LIBRARIES.items():
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(directory / f"{name}.so"), str(source), "-ldl"]
        subprocess.run(command, check=True)
    return [str(directory / f"{name}.so") for name in LIBRARIES]
