"""``windlass plan FILE``: what would be done with a file here, and why the rest would not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.remote import JsonOption, json_line

if TYPE_CHECKING:
    from windlass.processing.contract import About
    from windlass.processing.plan import PlannedStep


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)


def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    profile: Annotated[str, typer.Option(help="The profile whose rules and steps apply.")] = "default",
    as_json: JsonOption = False,
) -> None:
    """Detect the type of a local file, in the sandbox, and print the steps it would go through. Sends nothing."""
    from windlass.processing.plan import make_plan
    from windlass.processing.registry import installed

    rules = _rules(profile)
    mime_type = _type_of(file)
    abouts = [step.about for step in installed().values()]
    steps = make_plan(abouts, rules, mime_type)
    left_out = not_planned(abouts, steps, rules, mime_type)
    if as_json:
        document = {"file": str(file), "profile": profile, "mime_type": mime_type}
        typer.echo(json_line(document | {"steps": [step.document() for step in steps], "left_out": left_out}))
    else:
        for line in _lines(f"{file}: {mime_type}, profile {profile}", steps, left_out):
            typer.echo(line)


def not_planned(
    abouts: Iterable[About], steps: Sequence[PlannedStep], rules: dict[str, Any], mime_type: str
) -> list[dict[str, str]]:
    """The steps that are installed and would not run, each with its reason."""
    planned = {step.name for step in steps}
    return [
        {"stage": about.stage, "name": about.name, "reason": _reason(about, rules, mime_type)}
        for about in abouts
        if about.name not in planned
    ]


def _reason(about: About, rules: dict[str, Any], mime_type: str) -> str:
    if about.wanted_by is not None and not rules.get(about.wanted_by):
        return f"the profile has {about.wanted_by} off"
    return f"for {', '.join(about.mime_types)}, not {mime_type}"


def _rules(name: str) -> dict[str, Any]:
    from windlass.files.profiles import profile
    from windlass.kernel.errors import InvalidField

    try:
        return profile(name).document()
    except InvalidField as error:
        raise typer.BadParameter(str(error)) from error


def _type_of(file: Path) -> str:
    from windlass.processing.contract import StepError
    from windlass.processing.detection import detect_type

    try:
        return detect_type(file)
    except (StepError, OSError) as error:
        typer.echo(f"windlass: the type of {file} cannot be told: {error}", err=True)
        raise typer.Exit(1) from error


def _lines(head: str, steps: Sequence[PlannedStep], left_out: list[dict[str, str]]) -> list[str]:
    lines = [head]
    for stage, members in groupby(steps, key=lambda step: step.stage):
        lines.append(f"{stage}:")
        lines += [f"  {step.name:<16} {step.title}{' (in the sandbox)' * step.isolated}" for step in members]
    if left_out:
        lines.append("left out:")
        lines += [f"  {step['name']:<16} {step['reason']}" for step in left_out]
    return lines
