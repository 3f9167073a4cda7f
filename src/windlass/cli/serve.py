"""``windlass serve``: run everything on one machine, and hold the lock of its home directory."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from windlass import conf
from windlass.cli.environment import Home, use_home
from windlass.cli.errors import CommandError
from windlass.cli.listening_socket import browser_url, listen, require_loopback_in_open_mode
from windlass.cli.migration_record import is_migrated
from windlass.cli.processes import Host, Port, require_sandbox
from windlass.cli.running_server import publish_address
from windlass.cli.signals import StopRequests, exit_at_once
from windlass.cli.supervisor import DRAIN_SECONDS, Program, Supervisor
from windlass.conf import first_run_key
from windlass.conf.loading import is_standalone
from windlass.kernel.shared_counts import create_table
from windlass.operations.backup.unfinished_restore import require_no_mark

#: Locked by the server and by every process that it starts.
SHARED_LOCK = "serve.lock"
#: Locked by the supervisor alone, and holds its process number. The lock is free the moment that process is dead.
SUPERVISOR_LOCK = "serve.pid"
#: Web processes at most, where WEB_PROCESSES does not say.
PROCESSES_BY_DEFAULT = 4
#: Seconds that a process which was just killed may need to disappear.
EXIT_SECONDS = 1.0


def serve(host: Host = "127.0.0.1", port: Port = 8000, home: Home = None) -> None:
    """Run the whole server: web, worker and scheduler, and its database."""
    stop_requests = StopRequests(exit_at_once)
    settings = use_home(home)
    require_loopback_in_open_mode(host, settings)
    require_sandbox(settings)
    lock = lock_home(settings.windlass_home)
    require_no_mark(settings.windlass_home)
    listener = listen(host, port)
    port = listener.getsockname()[1]
    publish_address(settings.windlass_home, browser_url(host, port))
    # The same name at each start of this home: a process frees what an earlier process of its name still held.
    name_suffix = hashlib.sha256(os.fsencode(settings.windlass_home.resolve())).hexdigest()[:12]
    supervisor = Supervisor(
        preparation=None if is_migrated(settings) else Program("migrate", "migrate", ["migrate", "--quiet"]),
        programs=[
            *_web_programs(settings, host, listener, name_suffix),
            Program("worker", "worker", ["worker", "--instance", f"worker-{name_suffix}"]),
            Program("scheduler", "scheduler", ["scheduler"]),
        ],
        url=browser_url(host, port),
        listener=listener,
        lock=lock,
        stop_requests=stop_requests,
        notice=_first_run_notice(settings, browser_url(host, port)),
    )
    raise SystemExit(supervisor.run())


def _web_programs(settings: conf.Settings, host: str, listener: socket.socket, name_suffix: str) -> list[Program]:
    """The web processes, which accept connections from one listening socket and share a table of counts."""
    count = settings.web_processes or max(1, min(PROCESSES_BY_DEFAULT, (os.cpu_count() or 1) // 2))
    table = create_table(count)
    programs = []
    for number in range(1, count + 1):
        name = "web" if number == 1 else f"web-{number}"
        instance = f"web-{name_suffix}" if number == 1 else f"web-{name_suffix}-{number}"
        arguments = ["web", "--host", host, "--instance", instance, "--listener", str(listener.fileno())]
        arguments += ["--shared-counts", f"{table}:{number}"]
        programs.append(Program(name, "web", arguments, descriptors=(listener.fileno(), table), starts_early=True))
    return programs


def _first_run_notice(settings: conf.Settings, url: str) -> Callable[[], str]:
    """What to tell once the server is ready: where its first account is made, if it asks for credentials and nobody has
    an account of staff. A web process withdraws the key where somebody has, before it answers."""
    home = settings.windlass_home
    if not settings.credentials_required or not is_standalone():
        first_run_key.withdraw(home)
        return lambda: ""
    key = first_run_key.create(home)
    hours = first_run_key.LIFETIME_SECONDS // 3600
    notice = (
        f"Make the first account at {url}first-run/?key={key}\n"
        f"(or at that path of another name of this server; the link works once, for {hours} hours)"
    )
    return lambda: notice if first_run_key.exists(home) else ""


def lock_home(home: Path) -> int:
    """Lock the home directory for this server; return the descriptor of the shared lock. Raises CommandError.

    After an earlier supervisor was killed, its processes notice that and drain. Wait until they are gone.
    """
    supervisor_lock = _open(home / SUPERVISOR_LOCK)  # never closed: released when this process ends
    if not _lock_within(EXIT_SECONDS, supervisor_lock):
        process = os.pread(supervisor_lock, 20, 0).decode("ascii", "replace")
        raise CommandError(f"{home} is served already, by process {process}")
    os.ftruncate(supervisor_lock, 0)
    os.pwrite(supervisor_lock, str(os.getpid()).encode(), 0)
    shared_lock = _open(home / SHARED_LOCK)
    if not _lock_within(DRAIN_SECONDS + 5, shared_lock):
        raise CommandError(f"{home} is still held by a process that an earlier serve started")
    return shared_lock


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock_within(seconds: float, descriptor: int) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True
