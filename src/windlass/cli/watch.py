"""``windlass watch``: events as they happen."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.output import JsonOption, json_line, printable
from windlass.cli.server_connection import ServerOption, TokenOption, connected_client

if TYPE_CHECKING:
    from windlass.client import Event


def watch(
    file_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Only this file, from its first event on.")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only this type; file.* is every type of files. Repeatable."),
    ] = None,
    since: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="Begin after the event with this number.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Stop after the first event of this type, such as file.ready.")
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Print events until Ctrl-C: of everything you own from now on, or of one file. Resumes by itself."""
    with connected_client(server, token) as client:
        for event in client.events(file_id, since=since):
            if not types or any(fnmatch(event.type, pattern) for pattern in types):
                typer.echo(json_line(event.raw) if as_json else _line(event))
            if until is not None and fnmatch(event.type, until):
                return


def _line(event: Event) -> str:
    """Local time, type, the file or the upload, and what the event says."""
    data = event.data
    told = [data.get("filename"), data.get("step"), data.get("state"), data.get("message")]
    if not any(told) and data.get("progress") is not None:
        told = [f"{data['progress']} %"]
    text = "  ".join(printable(str(each)) for each in told if each)
    moment = event.at.astimezone().strftime("%H:%M:%S")
    return f"{moment}  {event.type:<16}  {event.file_id or event.upload_id or '-'}  {text}".rstrip()
