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

LOCK = "serve.lock"


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

    The processes inherit the lock: where an earlier supervisor was killed, it is free once its processes have drained.
    """
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + DRAIN_SECONDS + 5
    while not _locked(descriptor):
        holder = _holder(descriptor)
        if _lives(holder):
            raise Refusal(f"{home} is served already, by process {holder}")
        if time.monotonic() > deadline:
            raise Refusal(f"{home} is still held by a process that an earlier serve started")
        time.sleep(0.05)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0)
    return int(text) if text.isdigit() else 0


def _lives(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
