"""The ``windlass`` command. Each command imports what it needs when it runs: ``--help`` and ``serve`` start fast."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass import __version__
from windlass.cli.accounts import token_group, user_group
from windlass.cli.audit import audit_group
from windlass.cli.backup import backup, backups_group, restore
from windlass.cli.circuit_breakers import breaker_group
from windlass.cli.dead_letters import dead_group
from windlass.cli.doctor import doctor
from windlass.cli.download import download
from windlass.cli.files import files_group, trash_group
from windlass.cli.graph import graph_group
from windlass.cli.mcp import mcp
from windlass.cli.move import move
from windlass.cli.open_page import open_page
from windlass.cli.owner import owner_group
from windlass.cli.processes import scheduler, web, worker
from windlass.cli.profiles_and_plan import plan, profiles
from windlass.cli.quota import quota_group
from windlass.cli.search import reembed, reindex, search
from windlass.cli.serve import serve
from windlass.cli.server_setup import check, encryption_key, migrate
from windlass.cli.service_level import level_group
from windlass.cli.sweep import sweep
from windlass.cli.upload import upload
from windlass.cli.verify import verify
from windlass.cli.watch import watch
from windlass.cli.webhooks import webhook_group

app = typer.Typer(
    name="windlass",
    help="Receives files of any size over any network, verifies their type by content, and serves them safely.",
    no_args_is_help=True,
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


# In the order in which ``windlass --help`` lists them.
for command in (
    *(serve, web, worker, scheduler, migrate, check, encryption_key),
    *(upload, download, search, mcp, watch, move, plan, profiles, sweep, reindex, reembed, verify, backup, restore),
    doctor,
):
    app.command()(command)
app.command("open")(open_page)
app.add_typer(user_group, name="user")
app.add_typer(token_group, name="token")
app.add_typer(files_group, name="files")
app.add_typer(trash_group, name="trash")
app.add_typer(graph_group, name="graph")
app.add_typer(quota_group, name="quota")
app.add_typer(backups_group, name="backups")
app.add_typer(breaker_group, name="breaker")
app.add_typer(level_group, name="level")
app.add_typer(dead_group, name="dead")
app.add_typer(webhook_group, name="webhook")
app.add_typer(audit_group, name="audit")
app.add_typer(owner_group, name="owner")
