"""``windlass backup``, ``windlass backups`` and ``windlass restore``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windlass import conf
from windlass.cli.environment import Home, act_as_command, existing_server, set_up_django, use_home
from windlass.cli.errors import CommandError, database_errors
from windlass.cli.output import JsonOption, json_line, printable, size_text
from windlass.cli.signals import INTERRUPTED, stop_event

if TYPE_CHECKING:
    from windlass.operations.backup.manifest import Backup, Entry
    from windlass.operations.backup.restore import RestoreReport
    from windlass.operations.backup.verification import BackupReport, DamagedPart

#: Exit code if the backup or restore is complete but for objects that are damaged or missing.
INCOMPLETE = 1

backups_group = typer.Typer(help="The backups in a directory or bucket.", no_args_is_help=True)

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="Where the backups are: a directory, or s3://BUCKET/PREFIX.")
]


def backup(
    target: Target,
    without_secret_key: Annotated[
        bool,
        typer.Option(
            "--without-secret-key",
            help="Leave out the generated key that signs URLs and sessions. Those that it signed are then void after "
            "a restore, unless you restore the key yourself.",
        ),
    ] = False,
    limit_rate: Annotated[
        float, typer.Option(metavar="MB/S", min=0, help="Maximum rate in MB per second; 0: no limit.")
    ] = 0,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Back up the database and every stored file while the server runs. Objects that TARGET has are not copied again.

    After an interruption, run the same command again. Exit code 1 if an object is missing or damaged, 130 after Ctrl-C.
    """
    with existing_server(home), _backup_errors():
        from windlass.cli.progress import transfer
        from windlass.operations.backup.create import make_backup

        stop = stop_event()
        with transfer("backup") as show:
            made = make_backup(
                target,
                stop=stop,
                secret_key=not without_secret_key,
                bytes_per_second=limit_rate * conf.MB,
                on_progress=show,
                on_missing=_print_missing,
            )
    typer.echo(json_line(made.document()) if as_json else _backup_line(made))
    raise typer.Exit(INCOMPLETE if made.missing else 0)


@backups_group.command("list")
def list_backups(target: Target, as_json: JsonOption = False, home: Home = None) -> None:
    """List the complete backups, the oldest first: id, time, database, objects, size, what was new."""
    settings = use_home(home)
    with _backup_errors():
        from windlass.operations.backup import manifest
        from windlass.operations.backup.location import open_location

        for each in manifest.list_backups(open_location(target, settings)):
            typer.echo(json_line(each.document()) if as_json else _backup_line(each))


@backups_group.command("prune")
def prune(
    target: Target,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many backups to keep, the latest ones.")],
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Delete older backups, and the objects that no other backup names."""
    settings = use_home(home)
    with _backup_errors():
        from windlass.operations.backup import catalogue
        from windlass.operations.backup.location import locked, open_location

        location = open_location(target, settings)
        with locked(target):
            pruned = catalogue.prune(location, keep)
    if as_json:
        typer.echo(json_line({"backups": pruned.backups, "objects": pruned.objects, "bytes": pruned.bytes}))
    else:
        typer.echo(f"{len(pruned.backups)} backups and {pruned.objects} objects deleted, {size_text(pruned.bytes)}")


def restore(
    source: Target,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into", "--home", help="Home directory of the new server. Default: WINDLASS_HOME, else ./windlass-data."
        ),
    ] = None,
    backup_id: Annotated[
        str | None, typer.Option("--backup", metavar="ID", help="Which backup. Default: the latest.")
    ] = None,
    stores: Annotated[
        list[str] | None,
        typer.Option("--store", metavar="OLD=NEW", help="Restore the objects of the store OLD into the store NEW."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace a SQLite database that is there. It is kept under another name beside it."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a home directory and database that are empty, and verify the SHA-256 of every object.

    Until it has ended, the server does not start there; after an interruption, run the same command again. Exit code 1
    if an object is missing or damaged, 130 after Ctrl-C.
    """
    settings = use_home(into)
    with _backup_errors():
        from windlass.cli.serve import lock_home
        from windlass.operations.backup import manifest
        from windlass.operations.backup.location import locked, open_location
        from windlass.operations.backup.unfinished_restore import read_mark

        lock_home(settings.windlass_home)
        location, mark = open_location(source, settings), read_mark(settings.windlass_home)
        with locked(source, shared=True):
            chosen = manifest.find_backup(location, backup_id or (mark.backup if mark else None))
            set_up_django()
            act_as_command()
            with database_errors():
                from windlass.cli.progress import transfer
                from windlass.operations.backup import restore as restoring

                with transfer("restore") as show:
                    report = restoring.restore(
                        location,
                        chosen,
                        source,
                        stop=stop_event(),
                        stores=_store_mapping(stores or []),
                        force=force,
                        on_progress=show,
                        on_missing=_print_missing,
                    )
    typer.echo(json_line(report.document()) if as_json else _restore_line(report))
    raise typer.Exit(INCOMPLETE if report.missing else 0)


def verify_backups(target: str, home: Path | None, *, delete_damaged: bool, as_json: bool) -> int:
    """``windlass verify --backup``. Return the exit code."""
    settings = use_home(home)
    with _backup_errors():
        from windlass.cli.progress import transfer
        from windlass.operations.backup.location import locked, open_location
        from windlass.operations.backup.verification import verify_backups as run

        location = open_location(target, settings)
        with locked(target, shared=not delete_damaged), transfer("backups") as show:
            report = run(
                location,
                stop=stop_event(),
                delete_damaged=delete_damaged,
                on_progress=show,
                on_damaged=lambda damaged: _print_damaged(damaged, as_json=as_json),
            )
    typer.echo(json_line(report.document()) if as_json else _verification_line(report))
    return INCOMPLETE if report.damaged else 0


@contextmanager
def _backup_errors() -> Iterator[None]:
    """Turn errors of backups into CommandErrors; end after Ctrl-C."""
    from windlass.operations.backup.errors import BackupError
    from windlass.operations.backup.transfer import SourceDamaged
    from windlass.operations.throttle import Stopped
    from windlass.storage.contract import StoreError

    try:
        yield
    except Stopped as error:
        typer.echo("windlass: stopped; run the same command again to go on", err=True)
        raise typer.Exit(INTERRUPTED) from error
    except SourceDamaged as error:
        raise CommandError(
            f"the backup is damaged: {error}. `windlass verify --backup` names every damaged part"
        ) from error
    except (BackupError, StoreError, OSError) as error:
        raise CommandError(str(error)) from error


def _store_mapping(texts: list[str]) -> dict[str, str]:
    """Raises typer.BadParameter."""
    mapping = {}
    for text in texts:
        old, separator, new = text.partition("=")
        if not (old and separator and new):
            raise typer.BadParameter(f"{text!r} is not OLD=NEW", param_hint="--store")
        mapping[old] = new
    return mapping


def _print_missing(entry: Entry) -> None:
    typer.echo(f"windlass: missing: {entry.store} {entry.key}: {printable(entry.missing)}", err=True)


def _print_damaged(damaged: DamagedPart, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(damaged.document()))
        return
    named = f": {printable(', '.join(damaged.files))}" if damaged.files else ""
    typer.echo(f"damaged  {damaged.key}  {printable(damaged.detail)}  ({', '.join(damaged.backups)}{named})")


def _verification_line(report: BackupReport) -> str:
    parts = [
        f"{report.backups} backups, {report.objects} objects ({size_text(report.bytes)}) verified",
        f"{len(report.damaged)} damaged",
        f"{report.deleted} of them deleted" * bool(report.deleted),
        f"{report.absent} were missing when the backup was made" * bool(report.absent),
    ]
    return "; ".join(filter(None, parts))


def _backup_line(made: Backup) -> str:
    parts = [
        f"{made.id}  {made.database_vendor}  {made.objects} objects, {size_text(made.bytes)}",
        f"{made.copied} new, {size_text(made.copied_bytes)}",
        f"{made.missing} missing" * bool(made.missing),
    ]
    return "; ".join(filter(None, parts))


def _restore_line(report: RestoreReport) -> str:
    parts = [
        f"{report.backup} restored: {report.objects} objects, {size_text(report.bytes)}",
        f"{report.present} were there already" * bool(report.present),
        f"{report.missing} missing: their files are not served" * bool(report.missing),
        f"{report.expired_uploads} unfinished uploads expired" * bool(report.expired_uploads),
    ]
    return "; ".join(filter(None, parts))
