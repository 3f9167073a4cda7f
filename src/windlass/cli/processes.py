"""The processes that ``windlass serve`` supervises, each of which can also run on its own, on any machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from windlass import conf
from windlass.cli.environment import Home, set_up_django, use_home
from windlass.cli.errors import CommandError
from windlass.cli.listening_socket import listen, require_loopback_in_open_mode
from windlass.cli.process_priority import lower_priority
from windlass.cli.signals import StopRequests, drain_action, exit_at_once
from windlass.cli.supervisor import ProcessEnd
from windlass.conf import first_run_key
from windlass.kernel.garbage_collection import exempt_what_is_loaded, loading
from windlass.kernel.ids import new_id
from windlass.kernel.shared_counts import shared_counts

if TYPE_CHECKING:
    from windlass.jobs.api import Queue

Host = Annotated[str, typer.Option(envvar="HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="Port to listen on.")]
Instance = Annotated[
    str,
    typer.Option(
        help="Name of this process. It releases what an earlier process of this name still holds. Default: random."
    ),
]
SupervisorPipe = Annotated[int | None, typer.Option("--supervisor-pipe", hidden=True)]
Listener = Annotated[int | None, typer.Option("--listener", hidden=True)]
SharedCounts = Annotated[str, typer.Option("--shared-counts", hidden=True)]


def web(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    home: Home = None,
    instance: Instance = "",
    listener: Listener = None,
    counts: SharedCounts = "",
    supervisor_pipe: SupervisorPipe = None,
) -> None:
    """Run one web process."""
    stop_requests = StopRequests(exit_at_once)
    settings = use_home(home)
    require_loopback_in_open_mode(host, settings)
    require_sandbox(settings)
    # Before the slow imports, so that an address in use is reported at once.
    listening_socket = listen(host, port) if listener is None else socket.socket(fileno=listener)
    with loading():
        set_up_django("web")
        from windlass.cli import web_server
        from windlass.cli.wait_for_services import wait_for_tables
        from windlass.files import api as files
        from windlass.operations import telemetry

        if counts:
            descriptor, _, number = counts.partition(":")
            shared_counts.share(int(descriptor), int(number))
        files.profiles()  # an invalid profile ends the start, not the first upload
        ProcessEnd(supervisor_pipe).wait_for_start()
        wait_for_tables()
        _end_first_run(settings)
    exempt_what_is_loaded()
    try:
        web_server.run(listening_socket, instance or f"web-{new_id().hex[:12]}", stop_requests)
    finally:
        telemetry.stop()


def _end_first_run(settings: conf.Settings) -> None:
    """Withdraw the link for the first account where there is an account of staff."""
    if first_run_key.exists(settings.windlass_home):
        from windlass.accounts import api as accounts

        if accounts.has_staff():
            first_run_key.withdraw(settings.windlass_home)


def worker(
    queues: Annotated[
        str,
        typer.Option(
            help="Queues to serve, separated by commas: stages (intake), cost classes (light, heavy), or both "
            "(derive-heavy). Default: all."
        ),
    ] = "",
    concurrency: Annotated[int, typer.Option(min=0, help="Number of concurrent jobs. 0: WORKER_CONCURRENCY.")] = 0,
    home: Home = None,
    instance: Instance = "",
    supervisor_pipe: SupervisorPipe = None,
) -> None:
    """Run one worker process."""
    stop_requests = StopRequests(exit_at_once)
    settings = use_home(home)
    lower_priority(settings.worker_nice)
    require_sandbox(settings)
    with loading():
        set_up_django("worker")
        from windlass.processing import api as processing

        served = _queues(queues)
        try:
            processing.configured_scanner()
        except processing.BrokenScanner as error:
            raise CommandError(str(error)) from error
        processing.warm_up()  # the sandbox loads its libraries while this process loads Celery
        from windlass import celery
        from windlass.cli.wait_for_services import wait_for_broker, wait_for_tables
        from windlass.jobs import api as jobs
        from windlass.operations import telemetry

    processing.warn_of_weak_sandbox()
    name = instance or f"worker-{new_id().hex[:12]}"
    ProcessEnd(supervisor_pipe).wait_for_start()
    wait_for_tables()
    wait_for_broker()
    try:
        processing.revoke_claims(jobs.running_jobs_of(name))
        stop_requests.action = drain_action(celery.stop)
        code = celery.work(name, queues=served, concurrency=concurrency or settings.worker_concurrency)
    finally:
        processing.shut_down()
        telemetry.stop()
    raise typer.Exit(code)


def scheduler(home: Home = None, supervisor_pipe: SupervisorPipe = None) -> None:
    """Run the scheduler: lost notifications, jobs of dead workers, expired uploads, retention."""
    stop_requests = StopRequests(exit_at_once)
    use_home(home)
    with loading():
        set_up_django("scheduler")
        from windlass.cli.wait_for_services import wait_for_tables
        from windlass.operations import scheduler as scheduling
        from windlass.operations import telemetry

    ProcessEnd(supervisor_pipe).wait_for_start()
    wait_for_tables()
    exempt_what_is_loaded()
    stop = stop_requests.requested
    stop_requests.action = drain_action(stop.set, within=2 * scheduling.STOP_SECONDS)
    try:
        scheduling.run(stop, _tasks_of_project())
    finally:
        telemetry.stop()


def _tasks_of_project() -> list[Callable[[threading.Event], None]]:
    """What the scheduler does for the project that Windlass is an app of."""
    from django.apps import apps

    if not apps.is_installed("windlass.django"):
        return []
    from windlass.django import signals

    return [signals.run]


def _queues(text: str) -> list[Queue]:
    """The queues that ``--queues`` names. Raises CommandError for an unknown name."""
    from windlass.jobs.api import QUEUES

    found: list[Queue] = []
    for name in [name.strip() for name in text.split(",") if name.strip()]:
        of_name = [queue for queue in QUEUES if name in _names_of(queue)]
        if not of_name:
            known = dict.fromkeys(each for queue in QUEUES for each in _names_of(queue))
            raise CommandError(f"there is no queue {name!r}; there are {', '.join(known)}")
        found += [queue for queue in of_name if queue not in found]
    return found or list(QUEUES)


def _names_of(queue: Queue) -> tuple[str, ...]:
    """``derive`` is both classes of the stage, ``heavy`` this class of every stage."""
    return (queue.stage.value, queue.cost.value, f"{queue.stage.value}-{queue.cost.value}")


def require_sandbox(settings: conf.Settings) -> None:
    """With SANDBOX=require, refuse to start where the sandbox cannot give every protection. Raises CommandError.

    Without it nothing is measured: measuring takes a tenth of a second.
    """
    from windlass.processing.sandbox.capability_level import measure

    if settings.sandbox != "require":
        return
    level = measure(settings.sandbox)
    if level.gaps:
        raise CommandError(
            f"SANDBOX is require, and this machine gives no more than the level {level.name}: {level.gaps}"
        )
