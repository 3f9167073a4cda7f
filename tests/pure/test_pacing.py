"""Bytes per second: how long a transfer waits, and that it writes what it has and ends when it is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from windlass.conf import BadSetting, Settings
from windlass.resilience.pacing import Pace, shared_pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stream_passes_at_the_rate_after_the_first_second() -> None:
    clock, passed = Clock(), 0
    pace = Pace(1000, clock)
    while clock.now < 130:
        passed += 700
        clock.now += pace.delay(700)
    assert 1000 * 30 <= passed <= 1000 * 31 + 700


def test_a_pause_saves_no_more_than_a_second() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now += 3600
    assert pace.delay(1000) == 0
    assert pace.delay(500) == pytest.approx(0.5)


def test_uploads_of_one_owner_share_a_pace_and_others_do_not() -> None:
    ann = shared_pace("ann", "default", 1000)
    assert ann is not None
    assert shared_pace("ann", "default", 1000) is ann
    assert shared_pace("ann", "photos", 1000) is not ann
    assert shared_pace("bob", "default", 1000) is not ann
    assert shared_pace("ann", "default", 2000) is not ann, "the setting has changed"
    assert shared_pace("ann", "default", 0) is None


@pytest.mark.parametrize("rate", ["65535", "1", "-1", "0.5"])
def test_a_rate_that_looks_like_a_client_that_is_gone_is_refused(tmp_path: Path, rate: str) -> None:
    from windlass.files.profiles import load_profiles

    profiles = tmp_path / "profiles.toml"
    profiles.write_text(f"[default]\nmax_bytes_per_second = {rate}\n")
    with pytest.raises(BadSetting, match="max_bytes_per_second"):
        load_profiles(Settings(windlass_profiles=profiles))
