"""``windlass download``: one file to a path, or several to a directory."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.exit_codes import ExitCode
from windlass.cli.output import JsonOption, error_document, json_line
from windlass.cli.server_connection import (
    ServerOption,
    TokenOption,
    error_text,
    exit_code_of,
    server_and_token,
)

if TYPE_CHECKING:
    from windlass.cli.progress import Display
    from windlass.client import AsyncClient, File

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def download(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="ID... [PATH]",
            help="Ids of files, then the file to write or the directory to write to. Default: this directory.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Number of concurrent downloads.")] = 3,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Download files and check their SHA-256. After an interruption, run the same command again to resume."""
    from windlass.client import AsyncClient

    ids, path = _ids_and_path(arguments)
    try:
        client = AsyncClient(*server_and_token(server, token))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    batch = DownloadBatch(client, path, force, as_json, many=len(ids) > 1)
    try:
        asyncio.run(batch.run(ids, parallel))
    except KeyboardInterrupt:
        typer.echo("windlass: stopped. Run the same command again to resume.", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(batch.exit_code)


def _ids_and_path(arguments: list[str]) -> tuple[list[str], Path]:
    """Raises typer.BadParameter. Several files need a directory, which is created."""
    *ids, last = arguments
    path = Path()
    if ids and not _ID.fullmatch(last):
        path = Path(last)
    else:
        ids.append(last)
    for each in ids:
        if not _ID.fullmatch(each):
            raise typer.BadParameter(f"{each!r} is not the id of a file; `windlass files list` shows the ids")
    ids = list(dict.fromkeys(ids))
    if len(ids) > 1:
        if path.exists() and not path.is_dir():
            raise typer.BadParameter(f"{path} is no directory, and {len(ids)} files need one")
        path.mkdir(parents=True, exist_ok=True)
    return ids, path


class TargetExists(Exception):
    """There is such a file already."""


@dataclass(slots=True)
class DownloadBatch:
    """The downloads of one command. A file that fails does not stop the others."""

    client: AsyncClient
    path: Path
    force: bool
    as_json: bool
    many: bool
    codes: set[ExitCode] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    #: Names are chosen in the order of the ids, so that the same command run again resumes the same files.
    naming: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def exit_code(self) -> ExitCode:
        return min(self.codes - {ExitCode.DONE}, default=ExitCode.DONE)

    async def run(self, ids: list[str], workers: int) -> None:
        from windlass.cli.progress import display

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
        with display() as shown:
            shown.expect(len(ids), 0)
            remaining = iter(ids)
            async with self.client:
                await asyncio.gather(*(self._process_all(remaining, shown) for _ in range(min(workers, len(ids)))))

    async def _process_all(self, remaining: Iterator[str], shown: Display) -> None:
        for file_id in remaining:
            await self._process(file_id, shown)

    async def _process(self, file_id: str, shown: Display) -> None:
        from windlass.client import WindlassError

        label = file_id
        try:
            async with self.naming:
                file = await self.client.file(file_id)
                target = await asyncio.to_thread(self._target, file)
            label = target.name
            await self.client.download(file_id, target, lambda done, total: shown.sent(label, done, total))
        except (WindlassError, OSError, TargetExists) as error:
            self.codes.add(exit_code_of(error))
            shown.notice(label, error_text(error))
            if self.as_json:
                shown.result(json_line({"id": file_id, "error": error_document(error)}))
        else:
            record = {"id": file.id, "path": str(target), "size": file.size, "checksum": file.checksum}
            shown.result(json_line(record) if self.as_json else str(target))
        shown.remove(label)

    def _target(self, file: File) -> Path:
        """Return the path to write. A name that another file of this command has gets the beginning of the id."""
        from windlass.client.download import safe_name

        if not self.path.is_dir():
            target = self.path
        else:
            name = Path(safe_name(file.original_filename))
            if name.name in self.names:
                name = Path(f"{name.stem}-{file.id[:8]}{name.suffix}")
            self.names.add(name.name)
            target = self.path / name
        if target.exists() and not self.force:
            raise TargetExists(f"{target} exists; --force replaces it.")
        return target
