"""``windlass plan FILE``: what would be done with a file here, and why the rest would not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.remote import JsonOption, json_line

if TYPE_CHECKING:
    from windlass.processing.plan import LeftOut, PlannedStep


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    profile: Annotated[str, typer.Option(help="The profile whose rules and steps apply.")] = "default",
    as_json: JsonOption = False,
) -> None:
    """Detect the type of a local file, in the sandbox, and print its steps: each with the reason why it would run here,
    be owed or be left out. Sends nothing."""
    from windlass.processing.plan import left_out, make_plan
    from windlass.processing.registry import installed, missing

    rules = _rules(profile)
    mime_type, also = _types_of(file)
    abouts = [step.about for step in installed().values()]
    steps = make_plan(abouts, rules, mime_type, missing, also)
    others = left_out(abouts, rules, mime_type, also)
    if as_json:
        document: dict[str, Any] = {"file": str(file), "profile": profile, "mime_type": mime_type}
        document |= {"steps": [step.document() for step in steps], "left_out": [step.document() for step in others]}
        typer.echo(json_line(document))
    else:
        for line in _lines(f"{file}: {mime_type}, profile {profile}", steps, others):
            typer.echo(line)


def _rules(name: str) -> dict[str, Any]:
    from windlass.files.profiles import profile
    from windlass.kernel.errors import InvalidField

    try:
        return profile(name).document()
    except InvalidField as error:
        raise typer.BadParameter(str(error)) from error


def _types_of(file: Path) -> tuple[str, tuple[str, ...]]:
    from windlass.processing.contract import StepError
    from windlass.processing.detection import detect_types

    try:
        return detect_types(file)
    except (StepError, OSError) as error:
        typer.echo(f"windlass: the type of {file} cannot be told: {error}", err=True)
        raise typer.Exit(1) from error


def _lines(head: str, steps: Sequence[PlannedStep], others: Sequence[LeftOut]) -> list[str]:
    lines = [head]
    for stage, members in groupby(steps, key=lambda step: step.stage):
        lines.append(f"{stage}:")
        for step in members:
            where, owed = " (in the sandbox)" * step.isolated, f"; owed: {step.owed}" if step.owed else ""
            lines += [f"  {step.name:<16} {step.title}{where}", f"{'':<19}{step.reason}{owed}"]
    if others:
        lines.append("left out:")
        lines += [f"  {step.name:<16} {step.reason}" for step in others]
    return lines
