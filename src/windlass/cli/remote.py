"""What every command that talks to a server shares: its address, the token, and how a refusal is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.conf import BadSetting, reader

if TYPE_CHECKING:  # the commands that run the server's processes start without it
    from windlass.client import Client

ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="The server. Else WINDLASS_SERVER, else this machine, port 8000."),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="An API token. Else WINDLASS_TOKEN, or the file that WINDLASS_TOKEN_FILE names: others on this machine "
        "can see a command's arguments.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object a line.")]
FileId = Annotated[str, typer.Argument(metavar="ID", help="The file's id.")]
FileIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of files.")]

SIGN_IN = "Give a token with --token or WINDLASS_TOKEN; `windlass token create --user NAME` on the server makes one."


def address(server: str | None, token: str | None) -> tuple[str, str | None]:
    """The server and token to use, from the options or the environment. Ends the command where they are unusable."""
    from windlass.client import DEFAULT_SERVER

    text = reader.environment()
    try:
        return (
            server or reader.lookup("WINDLASS_SERVER", text) or DEFAULT_SERVER,
            token or reader.lookup("WINDLASS_TOKEN", text),
        )
    except BadSetting as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def connected(server: str | None, token: str | None) -> Iterator[Client]:
    """A client; what it raises ends the command with the reason and exit code 1."""
    from windlass.client import Client, WindlassError

    try:
        client = Client(*address(server, token))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with client:
        try:
            yield client
        except (WindlassError, OSError) as error:
            typer.echo(f"windlass: {reason(error)}", err=True)
            raise typer.Exit(1) from error


def reason(error: Exception) -> str:
    """An error in words for a person, on one line."""
    from windlass.client import Unauthenticated

    words = printable(str(error))
    return f"{words} {SIGN_IN}" if isinstance(error, Unauthenticated) else words


def json_line(document: Mapping[str, Any]) -> str:
    return json.dumps(document)


def printable(text: str) -> str:
    """Without what could steer a terminal: names come from whoever uploaded the file."""
    return "".join(each if each.isprintable() else " " for each in text)


def size_text(size: float) -> str:
    """Bytes for a person; the units are powers of 1024, as everywhere in Windlass."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TB"
