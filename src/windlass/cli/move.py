"""``windlass move``: move files to another store while the server runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from windlass import conf
from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, printable, size_text
from windlass.cli.signals import INTERRUPTED, stop_event

if TYPE_CHECKING:
    from windlass.operations.move import Failure, Report, Selection


def move(
    to: Annotated[str, typer.Option("--to", metavar="STORE", help="The store to move the files to.")],
    of: Annotated[str | None, typer.Option("--from", metavar="STORE", help="Only files in this store.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only files of this profile.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only files of this owner, such as user:7 or anonymous.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only files with this reference.")] = None,
    older_than: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Only files older than this.")] = 0,
    limit_rate: Annotated[
        float, typer.Option(metavar="MB/S", min=0, help="Maximum rate in MB per second; 0: no limit.")
    ] = 0,
    grace: Annotated[
        float,
        typer.Option(metavar="MINUTES", min=1, help="How long the old copy stays, for downloads that still read it."),
    ] = 60,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Move nothing; print what would be moved.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Move files and their renditions to another store while they are served. After an interruption, run the same
    command again to move the rest. Exit code 0 if nothing failed, 1 if something did, 130 after Ctrl-C."""
    with existing_server(home):
        from windlass.operations.move import Selection

        for name in filter(None, (to, of)):
            _require_known_store(name)
        if to == of:
            raise typer.BadParameter("--from and --to name the same store")
        selection = Selection(to, of, profile, owner, reference, older_than)
        if dry_run:
            _print_totals(selection, as_json=as_json)
        else:
            _move(selection, limit_rate * conf.MB, grace * 60, as_json=as_json)


def _require_known_store(name: str) -> None:
    settings = conf.get()
    if conf.store_settings(settings, name) is None:
        raise typer.BadParameter(f"there is no store {name!r}; stores here: {', '.join(conf.known_stores(settings))}")


def _print_totals(selection: Selection, *, as_json: bool) -> None:
    from windlass.files.api import move_totals

    totals = move_totals(selection)
    for name, (count, renditions, size) in totals.items():
        if as_json:
            line = {"from": name, "to": selection.to, "files": count, "renditions": renditions, "bytes": size}
            typer.echo(json_line(line | {"dry_run": True}))
        else:
            typer.echo(f"{name} to {selection.to}: {count} files, {renditions} renditions, {size_text(size)}")
    if not totals and not as_json:
        typer.echo("There is nothing to move.")


def _move(selection: Selection, bytes_per_second: float, grace_seconds: float, *, as_json: bool) -> None:
    from windlass.cli.progress import display
    from windlass.files.api import move_totals
    from windlass.operations import move as move_operation
    from windlass.storage.contract import StoreError

    total, done = sum(size for _, _, size in move_totals(selection).values()), 0
    stop, label = stop_event(), f"to {selection.to}"
    with display() as shown:

        def on_progress(count: int) -> None:
            nonlocal done
            done += count
            shown.sent(label, min(done, total), total)

        try:
            report = move_operation.move(
                selection,
                bytes_per_second=bytes_per_second,
                grace_seconds=grace_seconds,
                stop=stop,
                on_failure=lambda failure: shown.notice(label, _described(failure)),
                on_progress=on_progress,
            )
        except StoreError as error:
            typer.echo(f"windlass: {selection.to} cannot be written: {printable(str(error))}", err=True)
            raise typer.Exit(1) from error
    _print(report, as_json=as_json)
    if stop.is_set():
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(1 if report.failed or report.stopped else 0)


def _described(failure: Failure) -> str:
    which = "file" if failure.what == "file" else "renditions of file"
    return f"{which} {failure.file_id} stays: {printable(failure.reason)}"


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(asdict(report)))
        return
    typer.echo(
        f"{report.files} files and {report.renditions} renditions moved, {size_text(report.bytes)}; "
        f"{report.skipped} skipped, {report.failed} failed"
    )
    if report.skipped:
        typer.echo("Skipped files are being processed or were changed meanwhile: run the same command again.")
    if report.stopped:
        typer.echo(f"{report.stopped} Run the same command again to move the rest.")
