"""``windlass sweep``: delete what has expired now, or print what would be deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, size_text


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be deleted.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Delete what has expired or belongs to no record. The scheduler does the same periodically."""
    with existing_server(home):
        from windlass.operations.sweep import clean_up

        counts: dict[str, tuple[int, int]] = {}
        for cleaned in clean_up(dry_run=dry_run):
            count, freed = counts.get(cleaned.label, (0, 0))
            counts[cleaned.label] = count + cleaned.count, freed + cleaned.bytes_freed
    for what, (count, freed) in counts.items():
        if as_json:
            typer.echo(json_line({"what": what, "count": count, "bytes_freed": freed, "dry_run": dry_run}))
        else:
            typer.echo(f"{count:>8}  {size_text(freed):>10}  {what}")
