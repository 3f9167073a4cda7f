"""The connection of a command to a server: address, token, and how errors are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.exit_codes import ExitCode
from windlass.cli.output import printable
from windlass.conf import BadSetting, reader

if TYPE_CHECKING:  # the commands that run the server's processes start without the client
    from windlass.client import Client

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help="The server. Default: WINDLASS_SERVER, else port 8000 of this machine."
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="An API token. Default: WINDLASS_TOKEN, or the content of the file WINDLASS_TOKEN_FILE. Other users of "
        "this machine can see a command's arguments.",
    ),
]
FileId = Annotated[str, typer.Argument(metavar="ID", help="The file's id.")]
FileIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of files.")]

SIGN_IN_HINT = (
    "Give a token with --token or WINDLASS_TOKEN; `windlass token create --user NAME` on the server creates one."
)


def server_and_token(server: str | None, token: str | None) -> tuple[str, str | None]:
    """Return the server and token from the options or the environment. Raises typer.BadParameter."""
    from windlass.client import DEFAULT_SERVER

    environment = reader.environment()
    try:
        return (
            server or reader.lookup("WINDLASS_SERVER", environment) or DEFAULT_SERVER,
            token or reader.lookup("WINDLASS_TOKEN", environment),
        )
    except BadSetting as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def connected_client(server: str | None, token: str | None) -> Iterator[Client]:
    """Yield a client. An error of the client ends the command with its message, and REFUSED or TRY_AGAIN."""
    from windlass.client import Client, WindlassError

    try:
        client = Client(*server_and_token(server, token))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with client:
        try:
            yield client
        except (WindlassError, OSError) as error:
            typer.echo(f"windlass: {error_text(error)}", err=True)
            raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: Exception) -> ExitCode:
    """TRY_AGAIN where the same command may succeed later."""
    from windlass.client import GaveUp, ServerFailed, WaitTimeout, WindlassError

    if isinstance(error, GaveUp | WaitTimeout | ServerFailed):
        return ExitCode.TRY_AGAIN
    is_busy = isinstance(error, WindlassError) and error.status in (408, 423, 429)
    return ExitCode.TRY_AGAIN if is_busy else ExitCode.REFUSED


def error_text(error: Exception) -> str:
    from windlass.client import Unauthenticated

    message = printable(str(error))
    return f"{message} {SIGN_IN_HINT}" if isinstance(error, Unauthenticated) else message
