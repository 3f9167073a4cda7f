"""``windlass owner``: export or erase everything that is stored of one owner."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from windlass.cli.environment import OWN_SETTINGS, Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable, size_text

owner_group = typer.Typer(help="Everything that is stored of one owner.", no_args_is_help=True)

#: Exit code of an export from which the bytes of a file are missing.
INCOMPLETE = 1

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A user's name, or an owner as records show it, such as user:7.")
]


@owner_group.command("export")
def export(
    name: Name,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory.")],
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Write the owner's records and files into a directory. Exit code 1 if the bytes of a file could not be read."""
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.operations.owner_data.export import ExportError, export_owner

        try:
            report = export_owner(accounts.owner_named(name), directory)
        except ExportError as error:
            raise CommandError(str(error)) from error
    if as_json:
        document = {"owner": report.owner, "rows": report.rows, "files": report.files, "bytes": report.bytes}
        typer.echo(json_line(document | {"unread": report.unread}))
    else:
        typer.echo(f"{printable(report.owner)}: {report.files} files, {size_text(report.bytes)}, in {directory}")
        for file_id, reason in report.unread.items():
            typer.echo(f"not read: {file_id}: {printable(reason)}", err=True)
    if report.unread:
        raise typer.Exit(INCOMPLETE)


@owner_group.command("erase")
def erase(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; print what would be deleted.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Delete the owner's files, uploads, records and account; in the audit log only a pseudonym stays.

    After an interruption, run the same command again. In another Django project the user stays, deactivated.
    """
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.operations.owner_data.erase import EraseError, erase_owner
        from windlass.operations.owner_data.records import row_counts
        from windlass.storage.contract import StoreError

        owner = accounts.owner_named(name)
        counts = row_counts(owner)
        if dry_run:
            typer.echo(json_line({"owner": owner, "rows": counts}) if as_json else _counts_text(owner, counts))
            return
        if not yes:
            typer.confirm(f"{_counts_text(owner, counts)}\nDelete all of this for good?", abort=True)
        with_user = os.environ.get("DJANGO_SETTINGS_MODULE") == OWN_SETTINGS
        try:
            report = erase_owner(owner, with_user=with_user)
        except EraseError as error:
            raise CommandError(str(error)) from error
        except StoreError as error:
            raise CommandError(f"a store did not delete a file: {error}. Run this again when it is back") from error
    if as_json:
        document = {"owner": owner, "files": report.files, "uploads": report.uploads, "bytes": report.bytes_freed}
        typer.echo(json_line(document | {"identities": report.identities, "user": report.user}))
        return
    typer.echo(
        f"{printable(owner)}: {report.files} files, {report.uploads} uploads, {size_text(report.bytes_freed)} deleted"
    )


def _counts_text(owner: str, counts: dict[str, int]) -> str:
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{printable(owner)}: {listed or 'nothing is stored'}"
