"""Progress of transfers: bars on a terminal, else lines. It goes to stderr; results go to stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from windlass.cli.output import printable, size_text

if TYPE_CHECKING:
    from windlass.client import Status

#: A larger step is not a block that was sent, but the offset that the server reported after an interruption.
RESUMED_STEP = 8 * 1024 * 1024
LINE_INTERVAL_SECONDS = 2.0
NO_TITLES: Mapping[str, str] = MappingProxyType({})


@contextmanager
def display(titles: Mapping[str, str] = NO_TITLES) -> Iterator[Display]:
    """Yield bars if stderr is a terminal, else lines. ``titles``: what is shown for a name, if not its last part."""
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        name = TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=28, overflow="ellipsis"))
        columns = name, BarColumn(bar_width=24), FiguresColumn(table_column=Column(no_wrap=True))
        with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as progress:
            yield Bars(progress, titles)
    else:
        yield Lines(console, titles)


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback ``(sent, total)`` that shows a single transfer."""
    with display() as shown:
        yield lambda sent, total: shown.sent(name, sent, total)


class FiguresColumn(ProgressColumn):
    """Bytes, rate and remaining time; after the upload, the running processing steps."""

    max_refresh = 0.25

    def render(self, task: Task) -> Text:
        if task.fields["doing"]:
            return Text(task.fields["doing"])
        total = "" if task.total is None else f" of {size_text(task.total)}"
        figures = f"{size_text(task.completed)}{total}"
        if task.speed:
            figures += f"  {size_text(task.speed)}/s"
        if task.time_remaining:
            figures += f"  {time_text(task.time_remaining)} left"
        return Text(figures)


def time_text(seconds: float) -> str:
    """``40 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


class Bars:
    """Rich's progress bars: one for each file in transfer, and the last one for all of them."""

    def __init__(self, progress: Progress, titles: Mapping[str, str] = NO_TITLES) -> None:
        self._progress, self._titles = progress, titles
        self._tasks: dict[str, TaskID] = {}
        self._sent: dict[str, int] = {}
        self._total: TaskID | None = None
        self._files = self._done = 0

    def expect(self, files: int, size: int) -> None:
        """Show the progress of all files together, if there are several. ``size`` is 0 where it is not known."""
        if files > 1:
            self._files = files
            self._total = self._progress.add_task(f"0 of {files} files", total=size or None, doing="")

    def sent(self, name: str, sent: int, total: int) -> None:
        task, before = self._task(name), self._sent.get(name, 0)
        if 0 <= sent - before < RESUMED_STEP:
            self._progress.update(task, completed=sent, total=total or None)
        else:
            self._progress.reset(task, completed=sent, total=total or None)
        self._sent[name] = sent
        if self._total is not None:
            self._progress.update(self._total, advance=sent - before)

    def working(self, name: str, status: Status) -> None:
        running = [step.name for step in status.steps if step.state == "running"]
        doing = ": ".join(filter(None, [status.stage or status.status.lower(), ", ".join(running)]))
        self._progress.update(self._task(name), completed=status.progress, total=100, doing=printable(doing))

    def notice(self, name: str, text: str) -> None:
        self._progress.console.print(f"{_title(name, self._titles)}: {text}", markup=False)

    def result(self, text: str) -> None:
        """Print above the bars if stdout is the same terminal, so that they do not mix."""
        if sys.stdout.isatty():
            self._progress.console.print(text, markup=False, soft_wrap=True)
        else:
            typer.echo(text)

    def remove(self, name: str) -> None:
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))
        if self._total is not None:
            self._done += 1
            self._progress.update(self._total, description=f"{self._done} of {self._files} files")

    def summary(self, text: str | None) -> None:
        if text is not None:
            self._progress.console.print(text, markup=False)

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(_title(name, self._titles)), total=None, doing="")
        return self._tasks[name]


class Lines:
    """A line every few seconds, for logs."""

    def __init__(
        self, console: Console, titles: Mapping[str, str] = NO_TITLES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._titles, self._clock = console, titles, clock
        self._printed: dict[str, tuple[int, float]] = {}
        self._stage: dict[str, str] = {}

    def expect(self, files: int, size: int) -> None:
        """Lines say nothing of what is to come."""

    def sent(self, name: str, sent: int, total: int) -> None:
        printed, at = self._printed.setdefault(name, (-1, self._clock()))
        if sent != printed and (sent == total or self._clock() - at >= LINE_INTERVAL_SECONDS):
            self.notice(name, _share(sent, total))
            self._printed[name] = sent, self._clock()

    def working(self, name: str, status: Status) -> None:
        if status.stage and self._stage.get(name) != status.stage:
            self._stage[name] = status.stage
            self.notice(name, status.stage)

    def notice(self, name: str, text: str) -> None:
        self._console.print(f"{_title(name, self._titles)}: {text}", markup=False, soft_wrap=True)

    def result(self, text: str) -> None:
        typer.echo(text)

    def remove(self, name: str) -> None:
        """Lines stay."""

    def summary(self, text: str | None) -> None:
        if text is not None:
            self._console.print(text, markup=False)


#: Shows several transfers, each identified by its name.
Display = Bars | Lines


def _share(sent: int, total: int) -> str:
    """What was sent; of a stream whose end is not known, the bytes alone."""
    if not total:
        return size_text(sent)
    return f"{100 * sent // total} % ({size_text(sent)} of {size_text(total)})"


def _title(name: str, titles: Mapping[str, str]) -> str:
    return printable(titles.get(name) or name.rpartition("/")[2])
