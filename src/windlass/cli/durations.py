"""Durations in options of commands: a number and a unit."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: A century; dates have no room for more than some.
_LONGEST = timedelta(days=36_500)


def duration(text: str) -> timedelta:
    """``90d``, ``12h``, ``30m`` or ``45s``. Raises typer.BadParameter."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])", text.strip())
    length = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else timedelta(0)
    if not timedelta(0) < length <= _LONGEST:
        raise typer.BadParameter("it must be a number and a unit, such as 90d, 12h, 30m or 45s, at most 36500d")
    return length
