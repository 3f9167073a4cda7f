"""Durations in options of commands."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from windlass.cli.durations import duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("0.5s", timedelta(seconds=0.5)),
        (" 1d ", timedelta(days=1)),
    ],
)
def test_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "0d", "1w", "1 d", "999999999d", "36501d", "1e3d", "٣d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="a number and a unit"):
        duration(text)
