"""``windlass trash``: what was deleted and can still be had back."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from windlass.cli.remote import (
    FileIds,
    JsonOption,
    ServerOption,
    TokenOption,
    connected,
    json_line,
    printable,
    size_text,
)

group = typer.Typer(no_args_is_help=True, help="The trash of a server: list, restore, empty.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="trash")


@group.command("list")
def list_trash(
    search: Annotated[str | None, typer.Option(help="Only files whose name contains this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """One a line: id, until when it can be restored, size, name."""
    with connected(server, token) as client:
        for file in islice(client.files(trashed=True, q=search, limit=min(limit, 200)), limit):
            if as_json:
                typer.echo(json_line(file.raw))
                continue
            until = file.trash_until.isoformat(" ", "minutes") if file.trash_until else "-"
            typer.echo(f"{file.id}  {until}  {size_text(file.size):>9}  {printable(file.original_filename)}")


@group.command("restore")
def restore(file_ids: FileIds, server: ServerOption = None, token: TokenOption = None) -> None:
    """Take files out of the trash, as they were."""
    with connected(server, token) as client:
        for file_id in file_ids:
            typer.echo(f"{file_id}  {client.restore(file_id).status}")


@group.command("empty")
def empty(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Delete for good all that is in your trash; with a staff token, in everybody's."""
    with connected(server, token) as client:
        found = list(client.files(trashed=True, limit=200))
        if found and not yes:
            typer.confirm(f"Delete {len(found)} files for good?", abort=True)
        for file in found:
            client.delete(file.id, permanent=True)
        typer.echo(f"{len(found)} files, {size_text(sum(file.size for file in found))}")
