"""``windlass breaker``: the circuit breakers, and closing one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line

if TYPE_CHECKING:
    from windlass.processing.api import BreakerStatus

breaker_group = typer.Typer(
    help="Circuit breakers of the scanner, the stores and the targets of webhooks.", no_args_is_help=True
)


@breaker_group.command("list")
def list_breakers(as_json: JsonOption = False, home: Home = None) -> None:
    """List the circuit breakers: name, state, and when an open one admits a trial."""
    with existing_server(home):
        from windlass.processing import api as processing

        for status in processing.all_breaker_statuses():
            _print(status, as_json=as_json)


@breaker_group.command("reset")
def reset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that `windlass breaker list` shows.")],
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Close a circuit breaker. All processes of the server follow within a second; twice is harmless."""
    with existing_server(home):
        from windlass.processing import api as processing

        try:
            _print(processing.reset_breaker(name), as_json=as_json)
        except processing.UnknownBreaker as error:
            raise CommandError(str(error)) from error


def _print(status: BreakerStatus, *, as_json: bool) -> None:
    from dataclasses import asdict

    from windlass.kernel.clock import rfc3339

    opened_at, retry_at = rfc3339(status.opened_at), rfc3339(status.retry_at)
    if as_json:
        typer.echo(json_line(asdict(status) | {"opened_at": opened_at, "retry_at": retry_at}))
        return
    since = f"  since {opened_at}" if opened_at else ""
    trial = f", trial from {retry_at}" if retry_at else ""
    counts = f"  {status.failure_count} failures" if status.failure_count else ""
    typer.echo(f"{status.name:24}  {status.state:9}{since}{trial}{counts}".rstrip())
