"""``windlass upload`` and ``windlass download``: resumable transfers."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.output import JsonOption, has_failed, json_line, outcome_line
from windlass.cli.server_connection import (
    FileId,
    ServerOption,
    TokenOption,
    connected_client,
    error_text,
    server_and_token,
)

if TYPE_CHECKING:
    from windlass.cli.progress import Display
    from windlass.client import AsyncClient, File, UploadOptions

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="Files to upload.")
]


def upload(
    files: Files,
    profile: Annotated[str | None, typer.Option(help="The profile whose rules and steps apply.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own label, to find the files by.")] = None,
    sha256: Annotated[bool, typer.Option("--sha256", help="Send the SHA-256 along; the server checks it.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until each file is processed.")] = True,
    parallel: Annotated[int, typer.Option(min=1, help="Number of concurrent uploads.")] = 3,
    patience: Annotated[
        float, typer.Option(min=0, help="Minutes without progress after which the command gives up.")
    ] = 5.0,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Resume an earlier attempt.")] = True,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Upload files. After an interruption of any kind, run the same command again to resume."""
    from windlass.client import AsyncClient

    try:
        client = AsyncClient(*server_and_token(server, token), retry_seconds=60 * patience)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    options: UploadOptions = {"profile": profile, "reference": reference, "resume": resume}
    if sha256:
        options["sha256"] = True
    batch = UploadBatch(client, options, wait, as_json, asyncio.Semaphore(parallel))
    try:
        asyncio.run(batch.run(list(dict.fromkeys(files))))
    except KeyboardInterrupt:
        for line in batch.interruption_lines():
            typer.echo(f"windlass: {line}", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(1 if batch.failed else 0)


@dataclass(slots=True)
class UploadBatch:
    """The uploads of one command. A file that fails does not stop the others."""

    client: AsyncClient
    options: UploadOptions
    wait: bool
    as_json: bool
    slots: asyncio.Semaphore
    failed: bool = False
    sending: set[Path] = field(default_factory=set)
    waiting: dict[Path, File] = field(default_factory=dict)

    async def run(self, paths: list[Path]) -> None:
        from windlass.cli.progress import display

        # SIGTERM ends the command as Ctrl-C does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)

        with display() as shown:
            async with self.client:
                await asyncio.gather(*(self._process(path, shown) for path in paths))

    async def _process(self, path: Path, shown: Display) -> None:
        from windlass.client import WindlassError

        try:
            file = await self._upload(path, shown)
            if self.wait and not file.ended:
                file = await self._wait_for(path, file, shown)
        except (WindlassError, OSError, ValueError) as error:
            self._report_error(path, error, shown)
        else:
            self.failed = self.failed or has_failed(file)
            shown.result(json_line(file.raw) if self.as_json else outcome_line(file))
        shown.remove(str(path))

    async def _upload(self, path: Path, shown: Display) -> File:
        name = str(path)
        options: UploadOptions = {
            **self.options,
            "on_progress": lambda sent, total: shown.sent(name, sent, total),
            "on_notice": lambda text: shown.notice(name, text),
        }
        self.sending.add(path)
        async with self.slots:
            file = await self.client.upload(path, **options)
            self.sending.discard(path)
            return file

    async def _wait_for(self, path: Path, file: File, shown: Display) -> File:
        self.waiting[path] = file
        ended = await self.client.wait(file.id, on_status=lambda status: shown.working(str(path), status))
        del self.waiting[path]
        return ended

    def _report_error(self, path: Path, error: Exception, shown: Display) -> None:
        self.failed = True
        self.sending.discard(path)
        shown.notice(str(path), error_text(error))
        if self.as_json:
            problem: dict[str, Any] = dict(getattr(error, "problem", {})) or {"detail": str(error)}
            shown.result(json_line({"path": str(path), "error": problem}))

    def interruption_lines(self) -> list[str]:
        """What to print when the user stops the command: how to wait for or resume each file."""
        lines = [
            f"{path} was uploaded; `windlass files wait {file.id}` waits for its processing."
            for path, file in self.waiting.items()
        ]
        if len(self.sending) > 1:
            names = " ".join(sorted(str(path) for path in self.sending))
            lines.append(f"run the same command with these files to resume: {names}")
        elif self.sending:
            lines.append("run the same command again to resume.")
        return ["stopped.", *lines]


def download(
    file_id: FileId,
    path: Annotated[Path, typer.Argument(help="The file to write, or the directory to write it to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Download a file and check its SHA-256. After an interruption, run the same command again to resume."""
    from windlass.cli.progress import transfer
    from windlass.client.download import safe_name

    with connected_client(server, token) as client:
        target = path / safe_name(client.file(file_id).original_filename) if path.is_dir() else path
        if target.exists() and not force:
            typer.echo(f"windlass: {target} exists; --force replaces it.", err=True)
            raise typer.Exit(1)
        with transfer(target.name) as progress:
            client.download(file_id, target, progress)
        typer.echo(str(target))
