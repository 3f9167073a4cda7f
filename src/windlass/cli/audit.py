"""``windlass audit``: export and verify the audit log."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, printable

audit_group = typer.Typer(help="The audit log: who did what to which file.", no_args_is_help=True)

#: Exit code of ``windlass audit verify`` where the log was changed.
NOT_INTACT = 1


@audit_group.command("export")
def export(
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", help="Only entries at or after this time (UTC).")
    ] = None,
    home: Home = None,
) -> None:
    """Print the entries as JSON lines, the oldest first, also those that were written a moment ago."""
    with existing_server(home):
        from windlass.events import api as events

        events.chain_pending()
        for document in events.audit_entries(None if since is None else since.replace(tzinfo=UTC)):
            typer.echo(json_line(document))


@audit_group.command("verify")
def verify(
    known: Annotated[
        str | None,
        typer.Option("--known", metavar="SEQUENCE:HASH", help="The last line of an earlier verification."),
    ] = None,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Find entries that were changed, removed or inserted. The last line is the newest entry as SEQUENCE:HASH.

    Keep that line elsewhere, and give it to the next verification by --known: whoever can write to the whole database
    could also make a new log. Exit code 1: the log is not intact.
    """
    if known is not None and not re.fullmatch(r"\d{1,18}:[0-9a-f]{64}", known):
        raise typer.BadParameter("must be SEQUENCE:HASH, as `windlass audit verify` prints it", param_hint="--known")
    with existing_server(home):
        from windlass.events import api as events

        sequence, _, digest = (known or "").partition(":")
        events.chain_pending()
        report = events.verify_audit_log(events.AuditHead(int(sequence), digest) if known else None)
    head = f"{report.head.sequence}:{report.head.hash}"
    if as_json:
        counts = {"entries": report.entries, "erased": report.erased}
        typer.echo(json_line(counts | {"findings": report.findings, "head": head}))
    else:
        for finding in report.findings:
            typer.echo(printable(finding))
        typer.echo(f"{report.entries} entries, {report.erased} erased names, {len(report.findings)} findings\n{head}")
    if report.findings:
        raise typer.Exit(NOT_INTACT)
