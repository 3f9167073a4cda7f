"""The faults of a chaos run: what each one does to the system, and in which modes it can happen.

A fault is a name and a seed, written ``kill-web:83``: the same list has the same faults, at the same distances. Each
function returns when the disturbance is over; from then on the system has to recover by itself.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis as redis_client

from tests.chaos import kills
from tests.chaos.system import JOB_LEASE_SECONDS, MODES, System
from tests.process.serving import Running, free_port, until

HOUR = 3600
#: Longer than the lease of an upload lasts that nobody renews (receiving/lease.py).
LEASE_OUTLIVED = 11.0
#: Bytes that a full disk has left.
LEFT_ON_FULL_DISK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    seed: int

    def __str__(self) -> str:
        return f"{self.name}:{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Raises ValueError."""
        name, _, seed = text.partition(":")
        if name not in KINDS:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(KINDS)}")
        return cls(name, int(seed))

    def happen(self, system: System) -> None:
        chance = random.Random(f"{self.name} {self.seed}")
        time.sleep(0.1 + chance.random())
        KINDS[self.name].act(system, chance)


@dataclass(frozen=True, slots=True)
class Kind:
    """``weight``: how often it is chosen. ``needs_disk``: only where a disk can be mounted."""

    act: Callable[[System, random.Random], None]
    modes: Sequence[str] = MODES
    weight: int = 2
    needs_disk: bool = False


def choose(seed: int, count: int, mode: str, *, has_disk: bool, among: Sequence[str] = ()) -> list[Fault]:
    """The faults of a seed. ``among``: only these kinds; by default all that the mode has."""
    possible = {
        name: kind
        for name, kind in KINDS.items()
        if mode in kind.modes and (has_disk or not kind.needs_disk) and (name in among or not among)
    }
    chance = random.Random(f"{mode} {seed}")
    names = chance.choices(list(possible), [kind.weight for kind in possible.values()], k=count)
    return [Fault(name, seed * 10_000 + number) for number, name in enumerate(names)]


# Processes


def _pid(system: System, role: str, chance: random.Random) -> int:
    """One of the processes of a role; waits for it."""
    return chance.choice(until(lambda: kills.pids(system, role), f"a {role} process"))


def _stop(role: str, seconds: float) -> Callable[[System, random.Random], None]:
    """SIGSTOP until its leases have expired, then SIGCONT."""

    def act(system: System, chance: random.Random) -> None:
        pid = _pid(system, role, chance)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds + chance.random())
            os.kill(pid, signal.SIGCONT)

    return act


def _kill_all(system: System, chance: random.Random) -> None:
    system.kills += 1
    system.restart_server()


def _restart(system: System, chance: random.Random) -> None:
    """SIGTERM: uploads commit what they have, and their clients come back."""
    assert system.server.stop() == 0, "the server did not end in an orderly way"
    system.server.start()


def _rolling_restart(system: System, chance: random.Random) -> None:
    """A second web process and a second worker take over while the server is restarted."""
    port = free_port()
    with (
        Running("web", "--port", str(port), home=system.home, **_own_settings(system)) as web,
        Running("worker", home=system.home, **_own_settings(system)),
    ):
        until(lambda: web.process.poll() is not None or _answers(port), "the second web process")
        system.relay.upstream = port
        _restart(system, chance)
        system.relay.upstream = system.server.port


def _own_settings(system: System) -> dict[str, str]:
    return {name: value for name, value in system.server.environment.items() if os.environ.get(name) != value}


def _answers(port: int) -> bool:
    import httpx

    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).status_code == 200
    return False


# Connections


def _cut_connections(system: System, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 5)):
        system.relay.cut()
        time.sleep(chance.random() * 0.5)


def _freeze_connections(system: System, chance: random.Random) -> None:
    """Half-open: the old connections look alive to both sides, new ones work."""
    system.relay.freeze()


# Services


def _empty_broker(system: System, chance: random.Random) -> None:
    if system.broker is None:
        for message in (system.home / "broker").rglob("*.msg"):
            message.unlink(missing_ok=True)
    elif system.mode == "redis":
        with redis_client.Redis.from_url(system.broker.url) as connection:
            connection.flushall()


def _cut_at_commit(system: System, chance: random.Random) -> None:
    """Connections break before COMMIT arrives, or after it took effect and before its reply."""
    proxy = system.database_proxy
    assert proxy is not None
    proxy.cut("commit", chance.choice(["before", "after"]), times=chance.randrange(1, 6))
    _wait_for_cuts(system, lambda: proxy.cuts > 0)
    proxy.uncut()


def _kill_database_at_commit(system: System, chance: random.Random) -> None:
    proxy, database = system.database_proxy, system.database
    assert proxy is not None
    assert database is not None
    proxy.cut("commit", chance.choice(["before", "after"]), act=lambda: kills.kill_database(system, chance))
    _wait_for_cuts(system, lambda: database.program.process is None)
    proxy.uncut()
    time.sleep(chance.random() * 2)
    if database.program.process is None:
        database.program.start()


def _kill_backends(system: System, chance: random.Random) -> None:
    """End every session of the database at once, as a failover does."""
    assert system.database is not None
    with psycopg.connect(system.database.url("postgres"), autocommit=True) as own:
        own.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'")


def _cut_store(system: System, chance: random.Random) -> None:
    """Requests to the store break before they arrive, or after they took effect."""
    proxy = system.store_proxy
    assert proxy is not None
    for _ in range(3):
        request = chance.choice(["begin", "any part", "piece", "complete"])
        proxy.cut(request, chance.choice(["before", "after"]), times=chance.randrange(1, 4))
        time.sleep(1.0)
    proxy.uncut()


def _stop_scanner(system: System, chance: random.Random) -> None:
    """It hangs: its connections stay open, and no verdict comes."""
    assert system.scanner is not None
    system.scanner.signal(signal.SIGSTOP)
    time.sleep(1 + chance.random() * 3)
    system.scanner.signal(signal.SIGCONT)


def _wait_for_cuts(system: System, happened: Callable[[], bool]) -> None:
    """Clients are at work, so that a request of the kind comes soon."""
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)


# Disk and clock


def _fill_disk(system: System, chance: random.Random) -> None:
    assert system.disk is not None
    with filled(system.disk, leaving=chance.randrange(LEFT_ON_FULL_DISK)):
        time.sleep(1 + chance.random() * 3)


@contextlib.contextmanager
def filled(place: Path, *, leaving: int) -> Iterator[None]:
    """Fill a disk until only so many bytes are left."""
    ballast = place / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (free := os.statvfs(place).f_bavail * os.statvfs(place).f_frsize) > leaving:
                os.posix_fallocate(file.fileno(), file.tell(), free - leaving)
                file.seek(0, os.SEEK_END)
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _fail_sync(system: System, chance: random.Random) -> None:
    """What cannot be made durable is not acknowledged, and its upload ends."""
    system.sync_trigger.write_text(chance.choice(["/media/objects/", "windlass.sqlite3"]))
    system.excused_at = float("inf")
    time.sleep(0.5 + chance.random() * 2)
    system.sync_trigger.unlink()
    time.sleep(0.1)
    system.excused_at = time.monotonic()


def _move_clock(hours: int) -> Callable[[System, random.Random], None]:
    def act(system: System, chance: random.Random) -> None:
        system.shift_clock(hours * HOUR)
        time.sleep(2 + chance.random() * 3)
        system.shift_clock(0)

    return act


_WITH_DATABASE = ("redis", "rabbitmq")
_LOCAL = ("embedded", "redis", "rabbitmq")

KINDS = {
    "kill-web": Kind(kills.kill_process("web"), weight=6),
    "kill-worker": Kind(kills.kill_process("worker"), weight=5),
    "kill-scheduler": Kind(kills.kill_process("scheduler")),
    "kill-all": Kind(_kill_all, weight=5),
    "kill-storm": Kind(kills.storm, weight=5),
    "stop-web": Kind(_stop("web", LEASE_OUTLIVED), weight=1),
    "stop-worker": Kind(_stop("worker", JOB_LEASE_SECONDS + 2)),
    "restart": Kind(_restart),
    "rolling-restart": Kind(_rolling_restart, weight=1),
    "cut-connections": Kind(_cut_connections),
    "freeze-connections": Kind(_freeze_connections),
    "kill-proxy": Kind(kills.killed_for(kills.kill_proxy, 3)),
    "empty-broker": Kind(_empty_broker, modes=("embedded", "redis", "s3")),
    "kill-broker": Kind(kills.killed_for(kills.kill_broker, 4), modes=_WITH_DATABASE),
    "kill-database": Kind(kills.killed_for(kills.kill_database, 4), modes=_WITH_DATABASE),
    "cut-at-commit": Kind(_cut_at_commit, modes=_WITH_DATABASE, weight=3),
    "kill-database-at-commit": Kind(_kill_database_at_commit, modes=_WITH_DATABASE, weight=3),
    "kill-backends": Kind(_kill_backends, modes=_WITH_DATABASE),
    "kill-store": Kind(kills.killed_for(kills.kill_store, 5), modes=("s3",)),
    "cut-store": Kind(_cut_store, modes=("s3",), weight=3),
    "kill-scanner": Kind(kills.killed_for(kills.kill_scanner, 4), modes=("s3",)),
    "stop-scanner": Kind(_stop_scanner, modes=("s3",)),
    "fill-disk": Kind(_fill_disk, modes=_LOCAL, needs_disk=True),
    "fail-sync": Kind(_fail_sync, modes=_LOCAL, weight=1),
    "clock-forward": Kind(_move_clock(1), weight=1),
    "clock-back": Kind(_move_clock(-1), weight=1),
}
#: Those after which times in the database are ahead until they are corrected.
WRONG_CLOCKS = frozenset({"clock-forward", "clock-back"})
