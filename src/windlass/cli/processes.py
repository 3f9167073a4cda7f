"""The processes that ``windlass serve`` supervises, each of which can also run on its own, on any machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import set_up_django, use_home
from windlass.cli.lifeline import Lifeline
from windlass.cli.listening import listen, refuse_public
from windlass.cli.protection import refuse_weak_sandbox
from windlass.cli.refusal import Refusal
from windlass.cli.stopping import StopRequests, drain, leave_at_once
from windlass.kernel.ids import new_id

if TYPE_CHECKING:
    from windlass.jobs.api import Stage

Home = Annotated[Path | None, typer.Option(help="Home directory; WINDLASS_HOME, or ./windlass-data.")]
Host = Annotated[str, typer.Option(envvar="HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="Port to listen on.")]
Instance = Annotated[
    str,
    typer.Option(help="Name of this process. What an earlier process of this name held is freed. Default: random."),
]
Handle = Annotated[int | None, typer.Option("--lifeline", hidden=True)]
Listener = Annotated[int | None, typer.Option("--listener", hidden=True)]


def register(app: typer.Typer) -> None:
    app.command()(web)
    app.command()(worker)
    app.command()(scheduler)


def web(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    home: Home = None,
    instance: Instance = "",
    access_log: Annotated[bool, typer.Option(help="Log every request.")] = False,
    listener: Listener = None,
    lifeline: Handle = None,
) -> None:
    """Run one web process."""
    stopping = StopRequests(leave_at_once)
    settings = use_home(home)
    refuse_public(host, settings)
    refuse_weak_sandbox(settings)
    # Before the imports: an address that is taken should be told at once.
    door = listen(host, port) if listener is None else socket.socket(fileno=listener)
    set_up_django("web")
    from windlass.cli import web as serving
    from windlass.cli.waiting import wait_for_tables
    from windlass.files import api as files

    files.profiles()  # bad ones are told now, not to whoever uploads
    Lifeline(lifeline).hold()
    wait_for_tables()
    serving.run(door, instance or f"web-{new_id().hex[:12]}", stopping, access_log=access_log)


def worker(
    queues: Annotated[str, typer.Option(help="Stages to work on, separated by commas. Default: all.")] = "",
    concurrency: Annotated[int, typer.Option(min=0, help="Jobs at a time. 0: WORKER_CONCURRENCY.")] = 0,
    home: Home = None,
    instance: Instance = "",
    lifeline: Handle = None,
) -> None:
    """Run one worker process."""
    stopping = StopRequests(leave_at_once)
    settings = use_home(home)
    refuse_weak_sandbox(settings)
    set_up_django("worker")
    from windlass.processing import api as processing

    stages = _stages(queues)
    try:
        processing.configured_scanner()
    except processing.BrokenScanner as error:
        raise Refusal(str(error)) from error
    processing.warm_up()  # the sandbox loads its libraries while this process loads Celery
    from windlass import celery
    from windlass.cli.waiting import wait_for_broker, wait_for_tables
    from windlass.jobs import api as jobs

    processing.warn_of_weak_sandbox()
    name = instance or f"worker-{new_id().hex[:12]}"
    Lifeline(lifeline).hold()
    wait_for_tables()
    wait_for_broker()
    try:
        processing.revoke_claims(jobs.running_jobs_of(name))
        stopping.then(drain(celery.stop))
        code = celery.work(name, stages=stages, concurrency=concurrency or settings.worker_concurrency)
    finally:
        processing.shut_down()
    raise typer.Exit(code)


def scheduler(home: Home = None, lifeline: Handle = None) -> None:
    """Run the scheduler: lost bells, dead workers' jobs, expired uploads, retention."""
    stopping = StopRequests(leave_at_once)
    use_home(home)
    set_up_django("scheduler")
    from windlass.cli.waiting import wait_for_tables
    from windlass.operations import scheduler as scheduling

    Lifeline(lifeline).hold()
    wait_for_tables()
    stop = stopping.requested
    stopping.then(drain(stop.set, within=2 * scheduling.STOP_SECONDS))
    scheduling.run(stop)


def _stages(queues: str) -> list[Stage]:
    from windlass.jobs.api import Stage

    names = [name.strip() for name in queues.split(",") if name.strip()] or list(Stage.values)
    strange = sorted(set(names) - set(Stage.values))
    if strange:
        raise Refusal(f"there is no queue {strange[0]!r}; there are {', '.join(Stage.values)}")
    return [Stage(name) for name in names]
