"""``windlass level``: the service level, and setting it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, printable
from windlass.resilience.service_level import ServiceLevel

if TYPE_CHECKING:
    from windlass.events.api import LevelStatus

level_group = typer.Typer(help="Service level: full, degraded, basic or maintenance.", invoke_without_command=True)


@level_group.callback()
def show_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        show()


@level_group.command("show")
def show(as_json: JsonOption = False, home: Home = None) -> None:
    """Print the service level, why it is so, and what works now."""
    with existing_server(home):
        from windlass.events import api as events

        _print(events.current_service_level(), as_json=as_json)


@level_group.command("set")
def set_level(
    level: Annotated[ServiceLevel, typer.Argument(metavar="LEVEL", help="full, degraded, basic or maintenance.")],
    reason: Annotated[str, typer.Option(help="Why, for those who read it.")] = "",
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Pin the service level, whatever the components allow, until `windlass level auto`. It survives restarts."""
    with existing_server(home):
        from windlass.events import api as events

        _print(events.pin_service_level(level, " ".join(reason.split()), "command line"), as_json=as_json)


@level_group.command("auto")
def follow_components(as_json: JsonOption = False, home: Home = None) -> None:
    """Let the service level follow the components again."""
    with existing_server(home):
        from windlass.events import api as events

        _print(events.release_service_level(), as_json=as_json)


def _print(status: LevelStatus, *, as_json: bool) -> None:
    from windlass.kernel.clock import rfc3339
    from windlass.processing import api as processing

    features = processing.available_features(status)
    if as_json:
        document = {
            "level": status.level,
            "reason": status.reason,
            "automatic": status.automatic,
            "pinned_by": status.pinned_by or None,
            "since": rfc3339(status.since),
            "evaluated_at": rfc3339(status.evaluated_at),
            "components": dict(status.components),
            "available_features": features,
        }
        typer.echo(json_line(document))
        return
    mode = "automatic" if status.automatic else f"pinned by {printable(status.pinned_by)}"
    typer.echo(f"{'level':<12} {status.level} ({mode})")
    typer.echo(f"{'since':<12} {rfc3339(status.since)}")
    typer.echo(f"{'reason':<12} {printable(status.reason)}")
    typer.echo(f"{'works':<12} {', '.join(features) or 'nothing'}")
    impaired = [f"{name} {state}" for name, state in status.components.items() if state in ("failed", "impaired")]
    if impaired:
        typer.echo(f"{'components':<12} {', '.join(sorted(impaired))}")
