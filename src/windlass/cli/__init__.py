"""The ``windlass`` command. Each command imports what it needs when it runs: ``--help`` and ``serve`` start fast."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass import __version__
from windlass.cli import (
    accounts,
    files,
    move,
    processes,
    profiles_and_plan,
    quota,
    server_setup,
    sweep,
    transfers,
    verify,
)
from windlass.cli.serve import serve

app = typer.Typer(
    name="windlass",
    help="Receives files of any size over any network, verifies their type by content, and serves them safely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def windlass(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Windlass."""


app.command()(serve)
for module in (
    processes,
    server_setup,
    accounts,
    transfers,
    files,
    move,
    profiles_and_plan,
    quota,
    sweep,
    verify,
):
    module.register(app)
