"""``windlass files`` and ``windlass trash``: the files of a server and what was deleted."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.exit_codes import ExitCode
from windlass.cli.output import JsonOption, has_failed, json_line, outcome_line, printable, size_text
from windlass.cli.server_connection import FileId, FileIds, ServerOption, TokenOption, connected_client

if TYPE_CHECKING:
    from windlass.client import File, Status

files_group = typer.Typer(no_args_is_help=True, help="Files on a server: list, show, wait for, delete.")
trash_group = typer.Typer(no_args_is_help=True, help="The trash of a server: list, restore, empty.")


@files_group.command("list")
def list_files(
    status: Annotated[
        list[str] | None, typer.Option(help="Only files in this status, such as READY. Repeatable.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as image, video, pdf or archive.")] = None,
    mime_type: Annotated[str | None, typer.Option("--type", help="Only this type; image/* works.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only files with this reference.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only files whose name, title, author or tags contain this.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Only files of this day (UTC) or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Only files of this day (UTC) or earlier.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only the files of this owner, such as user:7.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="ORDER", help="Such as name or -size; - is descending. Default: -created.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of files.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """One file per line, newest first: id, status, size, type, name."""
    with connected_client(server, token) as client:
        matching = client.files(
            status=status,
            kind=kind,
            mime_type=mime_type,
            reference=reference,
            q=search,
            from_=since,
            to=until,
            owner=owner,
            sort=sort,
            limit=min(limit, 200),
        )
        for file in islice(matching, limit):
            name = printable(file.original_filename)
            line = f"{file.id}  {file.status:<11}  {size_text(file.size):>9}  {file.mime_type or '-'}  {name}"
            typer.echo(json_line(file.raw) if as_json else line)


@files_group.command("show")
def show(file_id: FileId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None) -> None:
    """A file's whole record."""
    with connected_client(server, token) as client:
        file = client.file(file_id)
        if as_json:
            typer.echo(json_line(file.raw))
            return
        for name, value in _record_lines(file):
            typer.echo(f"{name:<12} {printable(str(value))}")


@files_group.command("status")
def status_of(
    file_id: FileId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """The progress of processing, step by step."""
    with connected_client(server, token) as client:
        status = client.status(file_id)
        if as_json:
            typer.echo(json_line(status.raw))
        else:
            _print_status(status)


@files_group.command("wait")
def wait(
    file_id: FileId,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="Give up after this time.")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Wait until it is processed. Exit code 0 if the file is READY or was released, 3 after the timeout, else 1."""
    with connected_client(server, token) as client:
        file = client.wait(file_id, timeout)
        typer.echo(json_line(file.raw) if as_json else outcome_line(file))
        if has_failed(file):
            raise typer.Exit(ExitCode.REFUSED)


@files_group.command("text")
def text(file_id: FileId, server: ServerOption = None, token: TokenOption = None) -> None:
    """Print the text that was extracted from a file."""
    with connected_client(server, token) as client:
        for line in client.text(file_id).splitlines():
            typer.echo(printable(line))


@files_group.command("delete")
def delete(
    file_ids: FileIds,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Delete permanently, also files in the trash.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Delete bytes and records; if the server keeps a trash, move the files there."""
    with connected_client(server, token) as client:
        for file_id in file_ids:
            client.delete(file_id, permanent=permanent)
            _print_result(file_id, "deleted", as_json=as_json)


@files_group.command("release")
def release(
    file_ids: FileIds, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """Delete the bytes and keep the records."""
    with connected_client(server, token) as client:
        for file_id in file_ids:
            _print_changed(client.release(file_id), as_json=as_json)


@files_group.command("reprocess")
def reprocess(
    file_ids: FileIds, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """Process files again from the start."""
    with connected_client(server, token) as client:
        for file_id in file_ids:
            client.reprocess(file_id)
            _print_result(file_id, "processing again", as_json=as_json)


@trash_group.command("list")
def list_trash(
    search: Annotated[str | None, typer.Option(help="Only files whose name contains this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of files.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """One file per line: id, end of the time in which it can be restored, size, name."""
    with connected_client(server, token) as client:
        for file in islice(client.files(trashed=True, q=search, limit=min(limit, 200)), limit):
            until = file.trash_until.isoformat(" ", "minutes") if file.trash_until else "-"
            line = f"{file.id}  {until}  {size_text(file.size):>9}  {printable(file.original_filename)}"
            typer.echo(json_line(file.raw) if as_json else line)


@trash_group.command("restore")
def restore(
    file_ids: FileIds, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """Restore files from the trash."""
    with connected_client(server, token) as client:
        for file_id in file_ids:
            _print_changed(client.restore(file_id), as_json=as_json)


@trash_group.command("empty")
def empty_trash(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Delete every file in your trash permanently; with a staff token, in the trash of every owner."""
    with connected_client(server, token) as client:
        trashed = list(client.files(trashed=True, limit=200))
        if trashed and not yes:
            typer.confirm(f"Delete {len(trashed)} files for good?", abort=True, err=as_json)
        for file in trashed:
            client.delete(file.id, permanent=True)
        size = sum(file.size for file in trashed)
        document = {"deleted": len(trashed), "bytes": size}
        typer.echo(json_line(document) if as_json else f"{len(trashed)} files, {size_text(size)}")


def _print_result(file_id: str, result: str, *, as_json: bool) -> None:
    typer.echo(json_line({"id": file_id, "result": result}) if as_json else f"{file_id}  {result}")


def _print_changed(file: File, *, as_json: bool) -> None:
    typer.echo(json_line(file.raw) if as_json else f"{file.id}  {file.status}")


def _record_lines(file: File) -> list[tuple[str, object]]:
    """Label and value of each member that is set, in the order of the record."""
    pixels = f"{file.width} x {file.height}" if file.width and file.height else None
    members: list[tuple[str, object]] = [
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
        ("renditions", ", ".join(rendition.name for rendition in file.renditions) or None),
        ("created", file.created_at.isoformat(" ", "seconds")),
        ("expires", file.expires_at.isoformat(" ", "seconds") if file.expires_at else None),
        *((f"+ {name}", value) for name, value in file.extra_attributes.items()),
        *((f"* {name}", value) for name, value in file.metadata.items()),
    ]
    return [(name, value) for name, value in members if value is not None]


def _print_status(status: Status) -> None:
    typer.echo(f"{status.status}  {status.progress} %  {printable(status.message)}".rstrip())
    for step in status.steps:
        seconds = f"{step.seconds:.2f} s" if step.seconds is not None else ""
        typer.echo(f"  {step.stage:<9} {step.name:<16} {step.state:<8} {seconds:>9}  {printable(step.detail)}".rstrip())
