"""``windlass verify``: compare stored files with their recorded size and SHA-256."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.backup import verify_backups
from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, printable, size_text
from windlass.cli.signals import INTERRUPTED, stop_event

if TYPE_CHECKING:
    from windlass.files.api import Blob, VerifySelection
    from windlass.operations.verify import Damaged, Report

EXIT_DAMAGED, EXIT_UNREAD = 1, 3


def verify(
    rate: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="MB", help="Maximum rate in MB per second; 0: no limit. Default: VERIFY_MB_PER_SECOND."
        ),
    ] = None,
    older_than: Annotated[
        float,
        typer.Option("--older-than", min=0, metavar="DAYS", help="Only files whose last check is older than this."),
    ] = 0,
    store: Annotated[str | None, typer.Option(metavar="NAME", help="Only this store.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only files of this owner, such as user:7.")] = None,
    file_id: Annotated[uuid.UUID | None, typer.Option("--file", metavar="ID", help="Only this file.")] = None,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Only files known to be damaged, for example after a restore.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Read nothing; list the files known to be damaged.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing; print the results.")] = False,
    backup: Annotated[
        str | None,
        typer.Option(
            "--backup", metavar="TARGET", help="Verify the backups in a directory or s3://BUCKET/PREFIX instead."
        ),
    ] = None,
    delete_damaged: Annotated[
        bool,
        typer.Option(
            "--delete-damaged", help="With --backup: delete damaged objects; the next backup copies them again."
        ),
    ] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Read every stored file and compare it with its size and SHA-256; check that its renditions exist.

    Damaged files are no longer served; files that are intact again are. Exit code 1 if anything is damaged, 3 if
    something could not be read. It can be stopped at any time; the next run starts with the oldest check.
    """
    if backup is not None:
        if any((rate is not None, older_than, store, owner, file_id, damaged, listing, dry_run)):
            raise typer.BadParameter("with --backup, only --delete-damaged, --json and --home can be given")
        raise typer.Exit(verify_backups(backup, home, delete_damaged=delete_damaged, as_json=as_json))
    if delete_damaged:
        raise typer.BadParameter("--delete-damaged needs --backup")
    with existing_server(home) as settings:
        from windlass.files.api import VerifySelection
        from windlass.kernel.clock import now

        selection = VerifySelection(now() - timedelta(days=older_than), store, owner, file_id, damaged or listing)
        _require_existing(store, file_id)
        if listing:
            raise typer.Exit(_list_damaged(selection, as_json=as_json))
        mb_per_second = settings.verify_mb_per_second if rate is None else rate
        report = _run(selection, mb_per_second, dry_run=dry_run, as_json=as_json)
    _print_report(report, as_json=as_json)
    raise typer.Exit(_exit_code(report))


def _require_existing(store: str | None, file_id: uuid.UUID | None) -> None:
    """Without this check an unknown name would select nothing and count as intact. Raises typer.BadParameter."""
    from windlass.files.api import has_blob, stores_in_use

    if store is not None and store not in stores_in_use():
        raise typer.BadParameter(f"there is no store {store!r}; there are {', '.join(stores_in_use())}")
    if file_id is not None and not has_blob(file_id):
        raise typer.BadParameter(f"there is no file {file_id}, or it has no bytes any more")


def _run(selection: VerifySelection, rate: float, *, dry_run: bool, as_json: bool) -> Report:
    from windlass import conf
    from windlass.cli.progress import transfer
    from windlass.files.api import selected_bytes
    from windlass.operations.throttle import Throttle
    from windlass.operations.verify import Verification

    done, total = 0, selected_bytes(selection)
    with transfer("stored files") as show:

        def on_read(size: int) -> None:
            nonlocal done
            done = min(done + size, total)  # some files are read twice
            show(done, total)

        return Verification(
            Throttle(rate * conf.MB, stop_event()),
            on_read=on_read,
            on_damaged=lambda damaged: _print(damaged, as_json=as_json),
            on_unread=_print_unread,
            dry_run=dry_run,
        ).run(selection)


def _print_unread(blob: Blob, reason: str) -> None:
    typer.echo(f"windlass: {blob.store} {blob.key} could not be read: {printable(reason)}", err=True)


def _list_damaged(selection: VerifySelection, *, as_json: bool) -> int:
    from windlass.files.api import Damage, files_of_blob
    from windlass.operations.verify import Damaged

    blobs = list(selection.blobs().order_by("damaged_at", "id"))
    for blob in blobs:
        kind, files = Damage(blob.damage), files_of_blob(blob)
        _print(Damaged(blob.store, blob.key, kind, blob.damage_detail, blob.owner, files), as_json=as_json)
    return EXIT_DAMAGED if blobs else 0


def _print(damaged: Damaged, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(damaged.document()))
        return
    what = f"{damaged.key} ({damaged.rendition})" if damaged.rendition else damaged.key
    files = ", ".join(map(str, damaged.files))
    typer.echo(
        f"{damaged.kind:<10}  {damaged.store}  {what}  {printable(damaged.owner)}  {files}  {printable(damaged.detail)}"
    )


def _print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(report.document()))
        return
    parts = [
        f"{report.objects} files ({size_text(report.bytes)}) and {report.renditions} renditions checked",
        f"{len(report.damaged)} damaged",
        f"{report.mended} intact again" * bool(report.mended),
        f"{report.digests} digests recorded" * bool(report.digests),
        f"{report.unread} could not be read" * bool(report.unread),
        "stopped" * report.stopped,
    ]
    typer.echo("; ".join(filter(None, parts)))


def _exit_code(report: Report) -> int:
    if report.damaged:
        return EXIT_DAMAGED
    if report.stopped:
        return INTERRUPTED
    return EXIT_UNREAD if report.unread else 0
