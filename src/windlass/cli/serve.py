"""``windlass serve``: everything on one machine, by one command."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from pathlib import Path

from windlass.cli.environment import use_home
from windlass.cli.lifeline import DRAIN_SECONDS
from windlass.cli.listening import listen, refuse_public, url_of
from windlass.cli.processes import Home, Host, Port
from windlass.cli.protection import refuse_weak_sandbox
from windlass.cli.refusal import Refusal
from windlass.cli.stopping import StopRequests, leave_at_once
from windlass.cli.supervisor import Program, Supervisor

#: Held by a serve and by all that it starts.
LOCK = "serve.lock"
#: Held by the serve alone, whose process number it contains: it is free the moment that process is dead.
OWN_LOCK = "serve.pid"
#: How long a process that was just killed may take to be gone.
DYING_SECONDS = 1.0


def serve(host: Host = "127.0.0.1", port: Port = 8000, home: Home = None) -> None:
    """Run the whole server: web, worker and scheduler, and its database."""
    stopping = StopRequests(leave_at_once)
    settings = use_home(home)
    refuse_public(host, settings)
    refuse_weak_sandbox(settings)
    lock = hold(settings.windlass_home)
    door = listen(host, port)
    port = door.getsockname()[1]
    # Stable for this home, and no other's: a process that starts under a name frees what an earlier one left held.
    base = hashlib.sha256(os.fsencode(settings.windlass_home.resolve())).hexdigest()[:12]
    supervisor = Supervisor(
        preparation=Program("migrate", ["migrate", "--quiet"]),
        programs=[
            Program(
                "web",
                ["web", "--host", host, "--instance", f"web-{base}", "--listener", str(door.fileno())],
                handles=(door.fileno(),),
                early=True,
            ),
            Program("worker", ["worker", "--instance", f"worker-{base}"]),
            Program("scheduler", ["scheduler"]),
        ],
        url=url_of(host, port),
        door=door,
        lock=lock,
        stopping=stopping,
    )
    raise SystemExit(supervisor.run())


def hold(home: Path) -> int:
    """Take the home directory for this serve and all that it starts; returns the lock's descriptor. Raises Refusal.

    Where an earlier serve was killed, its processes notice and drain: until then this one waits.
    """
    own = _open(home / OWN_LOCK)  # never closed: it is let go with this process
    deadline = time.monotonic() + DYING_SECONDS
    while not _lock(own):
        if time.monotonic() < deadline:
            time.sleep(0.05)
            continue
        raise Refusal(f"{home} is served already, by process {os.pread(own, 20, 0).decode('ascii', 'replace')}")
    os.ftruncate(own, 0)
    os.pwrite(own, str(os.getpid()).encode(), 0)
    descriptor = _open(home / LOCK)
    deadline = time.monotonic() + DRAIN_SECONDS + 5
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            raise Refusal(f"{home} is still held by a process that an earlier serve started")
        time.sleep(0.05)
    return descriptor


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
