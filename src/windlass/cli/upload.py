"""``windlass upload``: files, folders and standard input, several at a time."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.exit_codes import ExitCode
from windlass.cli.finished_uploads import FinishedUploads
from windlass.cli.output import JsonOption, error_document, has_failed, json_line, outcome_line, size_text
from windlass.cli.server_connection import (
    ServerOption,
    TokenOption,
    error_text,
    exit_code_of,
    server_and_token,
)
from windlass.cli.upload_paths import STDIN, Item, Patterns, items_of

if TYPE_CHECKING:
    from windlass.cli.progress import Display
    from windlass.client import AsyncClient, File, UploadOptions

Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        help="Files to upload, folders with -r, and - for standard input.",
    ),
]

#: Files whose processing is waited for while others are sent.
MAX_WAITING = 50


def upload(
    paths: Paths,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Upload the files in folders.")] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="In folders only files that match, such as '*.jpg'. Repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="In folders no files and folders that match. Repeatable."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of a single file; for standard input: stdin.")] = None,
    profile: Annotated[str | None, typer.Option(help="The profile whose rules and steps apply.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own label, to find the files by.")] = None,
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Send the SHA-256 first: the server refuses other bytes.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until each file is processed.")] = True,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Number of files that are sent at the same time.")] = 3,
    parts: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=32,
            help="Send a large file in up to so many parts at the same time. Default: as the link asks for; of several "
            "files each is sent in one.",
        ),
    ] = None,
    retry_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes without progress after which the command gives up.")
    ] = 5.0,
    former_retry_minutes: Annotated[float | None, typer.Option("--patience", min=0, hidden=True)] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Resume an earlier attempt.")] = True,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Upload files. After an interruption of any kind, run the same command again to resume."""
    from windlass.client import AsyncClient
    from windlass.client.resume_state import state_directory

    if former_retry_minutes is not None:
        typer.echo("windlass: --patience is now called --retry-minutes", err=True)
        retry_minutes = former_retry_minutes
    items = _items(paths, recursive, Patterns(include or (), exclude or ()), name)
    if parts is None and len(items) > 1 and parallel > 1:
        parts = 1  # files at the same time use the link well enough
    url, credential = server_and_token(server, token)
    try:
        client = AsyncClient(url, credential, retry_seconds=60 * retry_minutes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    options: UploadOptions = {"profile": profile, "reference": reference, "resume": resume, "parallel_parts": parts}
    if sha256:
        options["sha256"] = True
    if name is not None:
        options["filename"] = name
    command = {"server": url, "paths": [str(path.absolute()) for path in paths], "profile": profile}
    finished = FinishedUploads(state_directory(), command | {"reference": reference, "name": name})
    batch = UploadBatch(client, items, options, wait, as_json, asyncio.Semaphore(parallel), finished)
    try:
        asyncio.run(batch.run(parallel + MAX_WAITING))
    except KeyboardInterrupt:
        typer.echo(f"windlass: {batch.interruption_text()}", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(batch.exit_code)


def _items(paths: list[Path], recursive: bool, patterns: Patterns, name: str | None) -> list[Item]:
    """Raises typer.BadParameter."""
    if (patterns.include or patterns.exclude) and not recursive:
        raise typer.BadParameter("--include and --exclude are for folders: give -r and a folder")
    folders = [path for path in paths if path != STDIN and path.is_dir()]
    if folders and not recursive:
        raise typer.BadParameter(f"{folders[0]} is a folder; -r uploads the files in it")
    for path in paths:
        if path != STDIN and not path.exists():
            raise typer.BadParameter(f"{path} does not exist")
    if STDIN in paths and sys.stdin.isatty():
        raise typer.BadParameter("- is standard input, which is a terminal here; pipe something into the command")
    try:
        items = list(items_of(paths, patterns, lambda text: typer.echo(f"windlass: {text}", err=True)))
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}") from error
    if not items:
        raise typer.BadParameter("there is no file to upload in these folders")
    if name is not None and len(items) > 1:
        raise typer.BadParameter(f"--name names one file, and there are {len(items)}")
    return items


@dataclass(slots=True)
class UploadBatch:
    """The uploads of one command. A file that fails does not stop the others."""

    client: AsyncClient
    items: list[Item]
    options: UploadOptions
    wait: bool
    as_json: bool
    slots: asyncio.Semaphore
    finished: FinishedUploads
    codes: Counter[ExitCode] = field(default_factory=Counter)
    sent: int = 0

    @property
    def exit_code(self) -> ExitCode:
        """REFUSED before TRY_AGAIN: repeating the command does not mend it."""
        bad = [code for code in (ExitCode.REFUSED, ExitCode.TRY_AGAIN) if self.codes[code]]
        return bad[0] if bad else ExitCode.DONE

    async def run(self, workers: int) -> None:
        from windlass.cli.progress import display

        # SIGTERM ends the command as Ctrl-C does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)

        if self.options.get("resume"):
            self.finished.load()
        with display({_label(item): item.relative_path for item in self.items if item.relative_path}) as shown:
            shown.expect(len(self.items), sum(item.size for item in self.items))
            remaining = iter(self.items)
            async with self.client:
                await asyncio.gather(
                    *(self._process_all(remaining, shown) for _ in range(min(workers, len(self.items))))
                )
            shown.summary(self._summary())
        if not self.codes[ExitCode.TRY_AGAIN]:
            self.finished.delete()

    async def _process_all(self, remaining: Iterator[Item], shown: Display) -> None:
        for item in remaining:
            await self._process(item, shown)

    async def _process(self, item: Item, shown: Display) -> None:
        from windlass.client import WindlassError

        label = _label(item)
        try:
            file = await self._find_finished(item) or await self._upload(item, shown)
            self.sent += 1
            if self.wait and not file.ended:
                file = await self.client.wait(file.id, on_status=lambda status: shown.working(label, status))
        except (WindlassError, OSError, ValueError) as error:
            self._report_error(item, error, shown)
        else:
            self.codes[ExitCode.REFUSED if has_failed(file) else ExitCode.DONE] += 1
            shown.result(json_line(file.raw) if self.as_json else outcome_line(file, item.relative_path))
        shown.remove(label)

    async def _find_finished(self, item: Item) -> File | None:
        """Return the file that an interrupted run of this command has made of the item."""
        from windlass.client import NotFound

        file_id = self.finished.file_id(item)
        if file_id is None:
            return None
        try:
            return await self.client.file(file_id)
        except NotFound:
            return None

    async def _upload(self, item: Item, shown: Display) -> File:
        label = _label(item)
        options: UploadOptions = {
            **self.options,
            "on_progress": lambda sent, total: shown.sent(label, sent, total),
            "on_notice": lambda text: shown.notice(label, text),
        }
        if item.relative_path is not None:
            options["metadata"] = {"relativePath": item.relative_path}
        async with self.slots:
            if item.path == STDIN:
                file = await self._upload_standard_input(options)
            else:
                file = await self.client.upload(item.path, **options)
                if self.options.get("resume"):
                    await asyncio.to_thread(self.finished.add, item, file.id)
            return file

    async def _upload_standard_input(self, options: UploadOptions) -> File:
        from windlass.cli.standard_input import StandardInput

        source = StandardInput()
        options.setdefault("filename", "stdin")
        try:
            return await self.client.upload(source, **options)
        finally:
            source.stop()  # a thread may still read; the command cannot end before it

    def _report_error(self, item: Item, error: Exception, shown: Display) -> None:
        self.codes[exit_code_of(error)] += 1
        shown.notice(_label(item), error_text(error))
        if self.as_json:
            shown.result(json_line({"path": str(item.path), "error": error_document(error)}))

    def _summary(self) -> str | None:
        if len(self.items) == 1:
            return None
        good = self.codes[ExitCode.DONE]
        bad = sum(self.codes.values()) - good
        size = size_text(sum(item.size for item in self.items))
        return f"{len(self.items)} files, {size}: {good} done" + (f", {bad} not" if bad else "")

    def interruption_text(self) -> str:
        """What to print when the user stops the command."""
        if any(item.path == STDIN for item in self.items):
            return "stopped. Standard input cannot be read again: what was not sent is lost."
        of = "" if len(self.items) == 1 else f"; {self.sent} of {len(self.items)} files were sent"
        return f"stopped{of}. Run the same command again to resume."


def _label(item: Item) -> str:
    return "standard input" if item.path == STDIN else str(item.path)
