"""``windlass files``: the records of a server."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.remote import (
    FileId,
    FileIds,
    JsonOption,
    ServerOption,
    TokenOption,
    connected,
    json_line,
    printable,
    size_text,
)
from windlass.cli.verdict import accepted, verdict

if TYPE_CHECKING:
    from windlass.client import File, Status

group = typer.Typer(no_args_is_help=True, help="Files on a server: list, show, wait for, delete.")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="files")


@group.command("list")
def list_files(
    status: Annotated[str | None, typer.Option(help="Only files in this status, such as READY.")] = None,
    mime_type: Annotated[str | None, typer.Option("--type", help="Only this type; image/* works.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only files with this reference.")] = None,
    search: Annotated[str | None, typer.Option(help="Only files whose name contains this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Newest first, one a line: id, status, size, type, name."""
    with connected(server, token) as client:
        found = client.files(status=status, mime_type=mime_type, reference=reference, q=search, limit=min(limit, 200))
        for file in islice(found, limit):
            if as_json:
                typer.echo(json_line(file.raw))
            else:
                name = printable(file.original_filename)
                typer.echo(f"{file.id}  {file.status:<11}  {size_text(file.size):>9}  {file.mime_type or '-'}  {name}")


@group.command("show")
def show(file_id: FileId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None) -> None:
    """A file's whole record."""
    with connected(server, token) as client:
        file = client.file(file_id)
        if as_json:
            typer.echo(json_line(file.raw))
            return
        for name, value in _lines(file):
            typer.echo(f"{name:<12} {printable(str(value))}")


@group.command("status")
def status_of(
    file_id: FileId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """How far processing is, step by step."""
    with connected(server, token) as client:
        status = client.status(file_id)
        if as_json:
            typer.echo(json_line(status.raw))
        else:
            _print_status(status)


@group.command("wait")
def wait(
    file_id: FileId,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up after this time.")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Wait until nothing is being done on a file any more. Exit code 0 if it is READY (or was released), else 1."""
    with connected(server, token) as client:
        file = client.wait(file_id, timeout)
        if as_json:
            typer.echo(json_line(file.raw))
        else:
            typer.echo(verdict(file))
        if not accepted(file):
            raise typer.Exit(1)


@group.command("text")
def text(file_id: FileId, server: ServerOption = None, token: TokenOption = None) -> None:
    """Print the text that was got out of a file."""
    with connected(server, token) as client:
        for line in client.text(file_id).splitlines():
            typer.echo(printable(line))


@group.command("delete")
def delete(
    file_ids: FileIds,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="For good, and also files that are in the trash.")
    ] = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Delete bytes and records; where the server keeps a trash, put them there."""
    with connected(server, token) as client:
        for file_id in file_ids:
            client.delete(file_id, permanent=permanent)
            typer.echo(f"{file_id}  deleted")


@group.command("release")
def release(file_ids: FileIds, server: ServerOption = None, token: TokenOption = None) -> None:
    """Delete the bytes and keep the records."""
    with connected(server, token) as client:
        for file_id in file_ids:
            typer.echo(f"{file_id}  {client.release(file_id).status}")


@group.command("reprocess")
def reprocess(file_ids: FileIds, server: ServerOption = None, token: TokenOption = None) -> None:
    """Process files from the start once more."""
    with connected(server, token) as client:
        for file_id in file_ids:
            client.reprocess(file_id)
            typer.echo(f"{file_id}  processing again")


def _lines(file: File) -> list[tuple[str, object]]:
    """What is known of the file, in the order of the record."""
    pixels = f"{file.width} x {file.height}" if file.width and file.height else None
    known: list[tuple[str, object]] = [
        ("id", file.id),
        ("name", file.original_filename),
        ("status", file.status),
        ("reason", file.rejection.detail if file.rejection else None),
        ("size", f"{size_text(file.size)} ({file.size} bytes)"),
        ("type", file.mime_type),
        ("sha256", file.checksum),
        ("pixels", pixels),
        ("duration", None if file.duration is None else f"{file.duration:g} s"),
        ("pages", file.page_count),
        ("profile", file.profile),
        ("reference", file.reference),
        ("duplicate of", file.duplicate_of),
        ("renditions", ", ".join(made.name for made in file.renditions) or None),
        ("created", file.created_at.isoformat(" ", "seconds")),
        ("expires", file.expires_at.isoformat(" ", "seconds") if file.expires_at else None),
        *((f"+ {name}", value) for name, value in file.extra_attributes.items()),
        *((f"* {name}", value) for name, value in file.metadata.items()),
    ]
    return [(name, value) for name, value in known if value is not None]


def _print_status(status: Status) -> None:
    typer.echo(f"{status.status}  {status.progress} %  {printable(status.message)}".rstrip())
    for step in status.steps:
        seconds = f"{step.seconds:.2f} s" if step.seconds is not None else ""
        typer.echo(f"  {step.stage:<9} {step.name:<16} {step.state:<8} {seconds:>9}  {printable(step.detail)}".rstrip())
