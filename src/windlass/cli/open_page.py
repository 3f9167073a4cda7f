"""``windlass open``: the server's page in a browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from windlass.cli.environment import Home
from windlass.cli.running_server import running_address
from windlass.cli.server_connection import ServerOption
from windlass.conf import reader


def open_page(
    file_id: Annotated[str | None, typer.Argument(metavar="ID", help="The page of this file.")] = None,
    no_browser: Annotated[bool, typer.Option("--print", help="Print the address only.")] = False,
    server: ServerOption = None,
    home: Home = None,
) -> None:
    """Print the address of the server's page, or of a file's, and open it in a browser.

    Without --server and WINDLASS_SERVER it is that of the server that runs with this home directory.
    """
    url = f"{_address(server, home).rstrip('/')}/"
    if file_id is not None:
        url += f"f/{quote(file_id, safe='')}"
    typer.echo(url)
    if not no_browser and not webbrowser.open(url):
        typer.echo("windlass: there is no browser here; open the address elsewhere.", err=True)


def _address(server: str | None, home: Path | None) -> str:
    from windlass.client import DEFAULT_SERVER

    environment = reader.environment()
    named = server or reader.lookup("WINDLASS_SERVER", environment)
    if named:
        return named
    return (
        running_address(home or Path(reader.lookup("WINDLASS_HOME", environment) or "windlass-data")) or DEFAULT_SERVER
    )
