"""``windlass sweep``: delete what has expired now, or print what would be deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass.cli.environment import Home, use_existing_home
from windlass.cli.errors import database_errors
from windlass.cli.output import JsonOption, json_line, size_text


def register(app: typer.Typer) -> None:
    app.command("sweep")(sweep)


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be deleted.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Delete what has expired or belongs to no record. The scheduler does the same periodically."""
    use_existing_home(home)
    from windlass.operations.sweep import clean_up

    counts: dict[str, tuple[int, int]] = {}
    with database_errors():
        for cleaned in clean_up(dry_run=dry_run):
            count, freed = counts.get(cleaned.label, (0, 0))
            counts[cleaned.label] = count + cleaned.count, freed + cleaned.bytes_freed
    for what, (count, freed) in counts.items():
        if as_json:
            typer.echo(json_line({"what": what, "count": count, "bytes_freed": freed, "dry_run": dry_run}))
        else:
            typer.echo(f"{count:>8}  {size_text(freed):>10}  {what}")
