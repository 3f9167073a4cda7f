"""``windlass upload``: files to a server, resumably."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.remote import JsonOption, ServerOption, TokenOption, address, json_line, reason
from windlass.cli.verdict import accepted, verdict

if TYPE_CHECKING:
    from windlass.cli.progress import Display
    from windlass.client import AsyncClient, File, UploadOptions

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="What to send.")
]


def register(app: typer.Typer) -> None:
    app.command("upload")(upload)


def upload(
    files: Files,
    profile: Annotated[str | None, typer.Option(help="Which rules and steps apply.")] = None,
    reference: Annotated[str | None, typer.Option(help="A word of your own to find the files by.")] = None,
    sha256: Annotated[bool, typer.Option("--sha256", help="Announce the SHA-256; the server checks it.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until each file is processed.")] = True,
    parallel: Annotated[int, typer.Option(min=1, help="How many are sent at a time.")] = 3,
    patience: Annotated[float, typer.Option(min=0, help="Minutes without any progress before it gives up.")] = 5.0,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with an earlier attempt.")] = True,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Send files. After an interruption of any kind the same command goes on where it stopped."""
    from windlass.client import AsyncClient

    try:
        client = AsyncClient(*address(server, token), patience=60 * patience)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    options: UploadOptions = {"profile": profile, "reference": reference, "resume": resume}
    if sha256:
        options["sha256"] = True
    work = Work(client, options, wait, as_json, asyncio.Semaphore(parallel))
    try:
        asyncio.run(work.run(list(dict.fromkeys(files))))
    except KeyboardInterrupt:
        for line in work.farewell():
            typer.echo(f"windlass: {line}", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(1 if work.failed else 0)


@dataclass(slots=True)
class Work:
    """The files of one command. A file that fails leaves the others alone."""

    client: AsyncClient
    options: UploadOptions
    wait: bool
    as_json: bool
    turns: asyncio.Semaphore
    failed: bool = False
    sending: set[Path] = field(default_factory=set)
    waiting: dict[Path, File] = field(default_factory=dict)

    async def run(self, paths: list[Path]) -> None:
        from windlass.cli.progress import display

        # SIGTERM ends it as Ctrl-C does.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)

        with display() as shown:
            async with self.client:
                await asyncio.gather(*(self._one(path, shown) for path in paths))

    async def _one(self, path: Path, shown: Display) -> None:
        from windlass.client import WindlassError

        try:
            file = await self._send(path, shown)
            if self.wait and not file.ended:
                file = await self._await(path, file, shown)
        except (WindlassError, OSError, ValueError) as error:
            self._refused(path, error, shown)
        else:
            self.failed = self.failed or not accepted(file)
            shown.result(json_line(file.raw) if self.as_json else verdict(file))
        shown.ended(str(path))

    async def _send(self, path: Path, shown: Display) -> File:
        name = str(path)
        options: UploadOptions = {
            **self.options,
            "on_progress": lambda sent, total: shown.sent(name, sent, total),
            "on_notice": lambda text: shown.notice(name, text),
        }
        self.sending.add(path)
        async with self.turns:
            file = await self.client.upload(path, **options)
            self.sending.discard(path)
            return file

    async def _await(self, path: Path, file: File, shown: Display) -> File:
        self.waiting[path] = file
        ended = await self.client.wait(file.id, on_status=lambda status: shown.working(str(path), status))
        del self.waiting[path]
        return ended

    def _refused(self, path: Path, error: Exception, shown: Display) -> None:
        self.failed = True
        self.sending.discard(path)
        shown.notice(str(path), reason(error))
        if self.as_json:
            problem: dict[str, Any] = dict(getattr(error, "problem", {})) or {"detail": str(error)}
            shown.result(json_line({"path": str(path), "error": problem}))

    def farewell(self) -> list[str]:
        """What a person who stopped the command should know."""
        lines = [
            f"{path} is sent; `windlass files wait {file.id}` waits for it." for path, file in self.waiting.items()
        ]
        if len(self.sending) > 1:
            names = " ".join(sorted(str(path) for path in self.sending))
            lines.append(f"the same command with these files goes on where this one stopped: {names}")
        elif self.sending:
            lines.append("the same command goes on where this one stopped.")
        return ["stopped.", *lines]
