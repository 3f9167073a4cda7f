"""``windlass doctor``: what is wrong with an installation, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import Home, set_up_django, use_home
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable

if TYPE_CHECKING:
    from windlass.operations.doctor import Diagnosis

#: The command that mends what a check of ``windlass check`` found, if it is not to change a setting or a service.
_COMMANDS = {"database": "windlass migrate", "home": "df -h", "profiles": "windlass profiles"}


def doctor(
    search_orphans: Annotated[
        bool,
        typer.Option("--orphans/--no-orphans", help="Search the stores for orphaned objects, by listing all of them."),
    ] = True,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Look for everything that is wrong or at risk, and print the command that mends it. Changes nothing.

    One line per finding: severity (ok, warning, error), name, what was found, command. Exit code 1 if one is an error.
    """
    use_home(home, create=False)
    set_up_django()
    from windlass.cli.wait_for_services import report_to_stderr, wait_for_broker, wait_for_database
    from windlass.operations.backup.errors import BackupError
    from windlass.operations.doctor import Severity, diagnose

    with suppress(CommandError, BackupError):  # reported as a finding
        wait_for_database()
    wait_for_broker(report_to_stderr)
    failed = False
    for found in (*_checked(), *diagnose(search_orphans=search_orphans)):
        failed = failed or found.severity is Severity.ERROR
        _print(found, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


def _checked() -> Iterator[Diagnosis]:
    """The checks of ``windlass check`` as findings."""
    from windlass.cli.service_checks import run_all_checks
    from windlass.operations.doctor import Diagnosis, Severity

    for result in run_all_checks():
        severity = Severity.OK if result.ok else Severity.ERROR
        command = "" if result.ok else _COMMANDS.get(result.name, "windlass check")
        yield Diagnosis(result.name, severity, result.detail, command)


def _print(found: Diagnosis, *, as_json: bool) -> None:
    if as_json:
        members = {"name": found.name, "severity": found.severity, "detail": found.detail}
        typer.echo(json_line(members | {"command": found.command or None}))
        return
    typer.echo(f"{found.severity:8} {found.name:16} {printable(found.detail)}")
    if found.command:
        typer.echo(f"{'':25} {printable(found.command)}")
