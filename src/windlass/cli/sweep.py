"""``windlass sweep``: let go at once of what is past its time, or say what would go."""

from __future__ import annotations

from typing import Annotated

import typer

from windlass.cli.environment import open_home
from windlass.cli.processes import Home
from windlass.cli.remote import JsonOption, json_line, size_text


def register(app: typer.Typer) -> None:
    app.command("sweep")(sweep)


def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would go.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Let go of what is past its time or belongs to nobody. The scheduler does the same by itself."""
    open_home(home)
    from windlass.cli.database import database_errors
    from windlass.operations.tidying import tidy

    counts: dict[str, tuple[int, int]] = {}
    with database_errors():
        for found in tidy(dry_run=dry_run):
            count, freed = counts.get(found.what, (0, 0))
            counts[found.what] = count + found.count, freed + found.bytes_freed
    for what, (count, freed) in counts.items():
        if as_json:
            typer.echo(json_line({"what": what, "count": count, "bytes_freed": freed, "dry_run": dry_run}))
        else:
            typer.echo(f"{count:>8}  {size_text(freed):>10}  {what}")
