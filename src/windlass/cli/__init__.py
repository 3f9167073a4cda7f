"""``windlass …``. Commands import what they need when they run, so that ``--help`` and ``serve`` start fast."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass import __version__
from windlass.cli import (
    admin,
    download,
    files,
    move,
    plan,
    processes,
    profiles,
    quota,
    sweep,
    trash,
    upload,
    users,
    verify,
)
from windlass.cli.serve import serve

app = typer.Typer(
    name="windlass",
    help="Takes files of any size over any network, checks what they really are, and hands them out safely.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def windlass(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Windlass."""


app.command()(serve)
for commands in (processes, admin, users, upload, download, files, trash, move, plan, profiles, quota, sweep, verify):
    commands.register(app)
