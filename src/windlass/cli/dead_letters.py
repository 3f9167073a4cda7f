"""``windlass dead``: list, show, retry, delete and export dead letters."""

from __future__ import annotations

import sys
import uuid
from contextlib import ExitStack
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable
from windlass.kernel.sizes import human_size

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from windlass.jobs.api import Job

dead_group = typer.Typer(help="Dead letters: jobs whose attempts are used up.", no_args_is_help=True)

#: Dead letters that are read or retried at a time.
BATCH = 500
NOT_ALL_CHANGED = 1


class StageName(StrEnum):
    """The names of ``jobs.api.Stage``, which needs Django."""

    INTAKE = "intake"
    DESCRIBE = "describe"
    DERIVE = "derive"


StageOption = Annotated[StageName | None, typer.Option("--stage", help="Only of this stage.")]
StepOption = Annotated[str | None, typer.Option("--step", metavar="NAME", help="Only those that failed in this step.")]
ErrorOption = Annotated[str | None, typer.Option("--error", metavar="CLASS", help="Only of this error class.")]
TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Only of files of this type, such as image/png or image/*.")
]
OlderOption = Annotated[
    float | None,
    typer.Option("--older-than", min=0, max=876_000, metavar="HOURS", help="Given up at least so long ago."),
]
NewerOption = Annotated[
    float | None,
    typer.Option("--newer-than", min=0, max=876_000, metavar="HOURS", help="Given up at most so long ago."),
]
TaskIds = Annotated[list[uuid.UUID] | None, typer.Argument(metavar="[ID]...", help="Ids of `windlass dead list`.")]


@dead_group.command("list")
def list_dead(
    stage: StageOption = None,
    step: StepOption = None,
    error: ErrorOption = None,
    mime_type: TypeOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most.")] = 50,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """One dead letter per line, the newest first: id, when it was given up, stage, step, error class, the file's id,
    name, owner and size, reason."""
    with existing_server(home):
        from windlass.processing.api import dead_letter_documents

        selected = _selected(stage, step, error, mime_type, older_than, newer_than)
        total = selected.count()
        for document in dead_letter_documents(list(selected.prefetch_related("attempt_log")[:limit])):
            typer.echo(json_line(document) if as_json else _line(document))
    if total > limit:
        typer.echo(f"windlass: {limit} of {total} are listed; --limit lists more", err=True)


@dead_group.command("show")
def show(
    task_id: Annotated[uuid.UUID, typer.Argument(metavar="ID", help="Id of `windlass dead list`.")],
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Print a dead letter with all its attempts, also those before a retry."""
    with existing_server(home):
        from windlass.processing.api import dead_letter_documents, find_dead_letters

        job = find_dead_letters().filter(id=task_id).first()
        if job is None:
            raise CommandError(f"there is no dead letter {task_id}; `windlass dead list` lists those that there are")
        document = dead_letter_documents([job])[0]
    if as_json:
        typer.echo(json_line(document))
        return
    for name in (
        "task_id",
        "file_id",
        "filename",
        "owner",
        "size",
        "stage",
        "step",
        "error_class",
        "message",
        "retries",
    ):
        typer.echo(f"{name:<12} {printable(str(document[name] if document[name] is not None else '-'))}")
    for attempt in document["attempts"]:
        typer.echo(_attempt_line(attempt))


@dead_group.command("retry")
def retry(
    task_ids: TaskIds = None,
    every: Annotated[bool, typer.Option("--all", help="Retry all dead letters.")] = False,
    stage: StageOption = None,
    step: StepOption = None,
    error: ErrorOption = None,
    mime_type: TypeOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Queue dead letters again, by ids, by options that select some, or all of them.

    They become due at the rate of DEAD_RETRY_PER_MINUTE. Exit code 1 if one that was named could not be retried.
    """
    filters = (stage, step, error, mime_type, older_than, newer_than)
    _require_selection(task_ids, every=every, filters=filters)
    with existing_server(home):
        from windlass.jobs.api import RetryResult, retry_dead_letters

        ids = task_ids or list(_selected(*filters).order_by("dead_at", "id").values_list("id", flat=True))
        queued = 0
        for start in range(0, len(ids), BATCH):
            for task_id, result in retry_dead_letters(ids[start : start + BATCH]).items():
                queued += result == RetryResult.QUEUED
                if as_json:
                    typer.echo(json_line({"task_id": str(task_id), "result": result}))
                elif task_ids:
                    typer.echo(f"{task_id}  {result}")
    if not as_json:
        typer.echo(f"{queued} queued")
    if task_ids and queued < len(set(task_ids)):
        raise typer.Exit(NOT_ALL_CHANGED)


@dead_group.command("delete")
def delete(
    task_ids: TaskIds = None,
    every: Annotated[bool, typer.Option("--all", help="Delete all dead letters.")] = False,
    stage: StageOption = None,
    step: StepOption = None,
    error: ErrorOption = None,
    mime_type: TypeOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Delete dead letters and their attempts, by ids, by options that select some, or all of them. Their files stay.

    Exit code 1 if one that was named is no dead letter.
    """
    filters = (stage, step, error, mime_type, older_than, newer_than)
    _require_selection(task_ids, every=every, filters=filters)
    with existing_server(home):
        from windlass.jobs.api import delete_dead_letters

        selected = _selected(*filters)
        if task_ids:
            selected = selected.filter(id__in=task_ids)
        elif not yes:
            typer.confirm(f"Delete {selected.count()} dead letters?", abort=True)
        deleted = delete_dead_letters(selected)
    typer.echo(json_line({"deleted": deleted}) if as_json else f"{deleted} deleted")
    if task_ids and deleted < len(set(task_ids)):
        raise typer.Exit(NOT_ALL_CHANGED)


@dead_group.command("export")
def export(
    stage: StageOption = None,
    step: StepOption = None,
    error: ErrorOption = None,
    mime_type: TypeOption = None,
    older_than: OlderOption = None,
    newer_than: NewerOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, not to standard output.")
    ] = None,
    home: Home = None,
) -> None:
    """Write dead letters with all their attempts as JSON lines, the newest first."""
    with existing_server(home), ExitStack() as stack:
        from windlass.processing.api import dead_letter_documents

        try:
            target = stack.enter_context(output.open("w", encoding="utf-8")) if output else sys.stdout
        except OSError as failed:
            raise CommandError(f"{output} cannot be written: {failed.strerror}") from failed
        selected = _selected(stage, step, error, mime_type, older_than, newer_than)
        count = 0
        letters = selected.prefetch_related("attempt_log").iterator(chunk_size=BATCH)
        while batch := list(islice(letters, BATCH)):
            target.writelines(json_line(document) + "\n" for document in dead_letter_documents(batch))
            count += len(batch)
    if output:
        typer.echo(f"{count} exported")


def _selected(
    stage: StageName | None,
    step: str | None,
    error: str | None,
    mime_type: str | None,
    older_than: float | None,
    newer_than: float | None,
) -> QuerySet[Job]:
    from windlass.jobs.api import DeadLetterFilter, Stage
    from windlass.kernel.clock import now
    from windlass.processing.api import find_dead_letters

    before, after = (None if hours is None else now() - timedelta(hours=hours) for hours in (older_than, newer_than))
    selection = DeadLetterFilter(Stage(stage) if stage else None, step, error, before, after)
    return find_dead_letters(selection, mime_type=mime_type)


def _require_selection(task_ids: list[uuid.UUID] | None, *, every: bool, filters: tuple[object, ...]) -> None:
    """Nothing is retried or deleted by mistake. Raises typer.BadParameter."""
    ways = (bool(task_ids), every, any(each is not None for each in filters))
    if sum(ways) != 1:
        raise typer.BadParameter("give ids, or options that select dead letters, or --all")


def _line(document: dict[str, Any]) -> str:
    where = "  ".join(str(document[name] or "-") for name in ("stage", "step", "error_class"))
    size = "-" if document["size"] is None else human_size(document["size"])
    file = f"{document['file_id']}  {document['filename'] or '-'}  {document['owner'] or '-'}  {size}"
    return printable(
        f"{document['task_id']}  {document['last_failed_at']}  {where}  {file}  {document['message'][:200]}"
    )


def _attempt_line(attempt: dict[str, Any]) -> str:
    seconds = "-" if attempt["seconds"] is None else f"{attempt['seconds']:.2f} s"
    columns = [
        f"  retry {attempt['retry']}, attempt {attempt['number']}",
        *(str(attempt[name] or "-") for name in ("started_at", "outcome", "step", "error_class")),
        seconds,
        *(str(attempt[name] or "-") for name in ("worker", "request_id", "message")),
    ]
    return printable("  ".join(columns))
