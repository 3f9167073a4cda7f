"""``windlass profiles``: what may come in, and what is done with it, as configured here."""

from __future__ import annotations

import typer

from windlass.cli.remote import JsonOption, json_line, size_text


def register(app: typer.Typer) -> None:
    app.command("profiles")(profiles)


def profiles(as_json: JsonOption = False) -> None:
    """Print the profiles of this machine's configuration."""
    from windlass.files.profiles import profiles as configured

    for profile in configured().values():
        if as_json:
            typer.echo(json_line(profile.document() | {"store": profile.store}))
            continue
        typer.echo(f"{profile.name}: {profile.description}" if profile.description else profile.name)
        rules = {"store": profile.store} | profile.document()
        kinds = rules.pop("media_types")
        for line in _rules(rules):
            typer.echo(f"  {line}")
        for kind in kinds:
            typer.echo(f"  {kind.pop('kind')}")
            for line in _rules(kind):
                typer.echo(f"    {line}")


def _rules(rules: dict[str, object]) -> list[str]:
    """Each rule that is set: sizes in words, an empty list is no rule."""
    lines = []
    for name, value in rules.items():
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif name in ("name", "description") or not value:
            continue
        elif isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        elif name.endswith("_size") and isinstance(value, int):
            value = size_text(value)
        lines.append(f"{name:<20} {value}")
    return lines
