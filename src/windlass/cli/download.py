"""``windlass download``: a file from a server, resumably."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windlass.cli.remote import FileId, ServerOption, TokenOption, connected


def register(app: typer.Typer) -> None:
    app.command("download")(download)


def download(
    file_id: FileId,
    path: Annotated[Path, typer.Argument(help="A file to write, or a directory to put it in.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Fetch a file and check its SHA-256. After an interruption the same command goes on where it stopped."""
    from windlass.cli.progress import transfer
    from windlass.client.downloading import safe_name

    with connected(server, token) as client:
        target = path / safe_name(client.file(file_id).original_filename) if path.is_dir() else path
        if target.exists() and not force:
            typer.echo(f"windlass: {target} is there already; --force replaces it.", err=True)
            raise typer.Exit(1)
        with transfer(target.name) as progress:
            client.download(file_id, target, progress)
        typer.echo(str(target))
