"""The table of service levels, its hysteresis, and the features of each level."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.resilience.service_level import (
    ALL_WORK,
    FALL_SECONDS,
    FEATURES,
    LEVELS,
    RISE_SECONDS,
    USUAL_FALL_SECONDS,
    WAITS_BY_ITSELF,
    ComponentHealth,
    Health,
    Observation,
    ServiceLevel,
    causes_of,
    features_of,
    level_for_steps,
    level_of,
    observe,
    reason_of,
    states_of,
)

STATES = ("ok", "impaired", "failed", "off")
NAMES = sorted({name for name, _ in LEVELS} | {"clock", "content"})
#: Seconds between two evaluations.
PAUSE = 1.0


def observed(health: Health, at: float, **states: str) -> Health:
    return observe(health, {name: Observation(state, f"{name} is {state}.") for name, state in states.items()}, at)


def level(health: Health) -> ServiceLevel:
    return level_of(states_of(health))


def test_the_order_of_the_levels() -> None:
    assert [str(each) for each in ServiceLevel] == ["full", "degraded", "basic", "maintenance"]
    assert ServiceLevel.FULL.includes(ServiceLevel.DEGRADED)
    assert not ServiceLevel.BASIC.includes(ServiceLevel.DEGRADED)
    assert all(ServiceLevel.MAINTENANCE.includes(each) == (each == "maintenance") for each in ServiceLevel)


@pytest.mark.parametrize(("component", "state"), LEVELS)
def test_each_row_of_the_table_lowers_the_level_and_is_named_in_the_reason(component: str, state: str) -> None:
    health = observed(observed({}, 0.0, **{component: state, "clock": "ok"}), 5.0, **{component: state, "clock": "ok"})
    expected = LEVELS[component, state]
    assert level(health) is expected
    assert expected is not ServiceLevel.FULL
    assert f"{component} is {state}" in reason_of(health)
    assert "since 1970-01-01 00:00:00 UTC" in reason_of(health)
    assert causes_of(expected, states_of(health)) == [component]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", ["ok", "off"])
def test_what_works_or_is_not_set_up_lowers_nothing(name: str, state: str) -> None:
    assert level_of({name: state}) is ServiceLevel.FULL
    assert reason_of(observed({}, 0.0, **{name: state})) == ALL_WORK


def test_a_damaged_file_and_a_wrong_clock_lower_nothing() -> None:
    assert level_of({"content": "impaired", "clock": "impaired", "sandbox": "impaired"}) is ServiceLevel.FULL


def test_the_worst_component_decides_and_comes_first_in_the_reason() -> None:
    health: Health = {}
    for at in (0.0, 5.0):
        health = observed(health, at, scanner="failed", broker="failed", queue="impaired")
    assert level(health) is ServiceLevel.BASIC
    assert reason_of(health).index("broker") < reason_of(health).index("scanner")
    assert causes_of(ServiceLevel.BASIC, states_of(health)) == ["broker"]


@pytest.mark.parametrize("component", ["scanner", "store"])
def test_a_state_counts_once_it_has_lasted(component: str) -> None:
    fall = FALL_SECONDS.get(component, USUAL_FALL_SECONDS)
    health = observed({}, 0.0, **{component: "ok"})
    health = observed(health, 100.0, **{component: "failed"})
    assert level(health) is ServiceLevel.FULL, "one failed check lowers nothing"
    health = observed(health, 100.01 + fall, **{component: "failed"})
    assert level(health) is not ServiceLevel.FULL
    health = observed(health, 200.0, **{component: "ok"})
    health = observed(health, 199.9 + RISE_SECONDS, **{component: "ok"})
    assert level(health) is not ServiceLevel.FULL
    health = observed(health, 200.0 + RISE_SECONDS, **{component: "ok"})
    assert level(health) is ServiceLevel.FULL


def test_a_clock_that_was_set_back_starts_the_wait_anew() -> None:
    health = observed(observed({}, 1000.0, scanner="failed"), 1001.0, scanner="failed")
    health = observed(health, 1001.5, scanner="ok")
    health = observed(health, 10.0, scanner="ok")
    health = observed(health, 10.0 + RISE_SECONDS, scanner="ok")
    assert level(health) is ServiceLevel.FULL


def test_unknown_components_stay_as_they_were_and_others_are_forgotten() -> None:
    health: Health = {}
    for at in (0.0, 5.0):
        health = observed(health, at, scheduler="failed", scanner="failed")
    kept = observe(health, {"database": Observation("ok")}, 6.0, unknown=["scheduler", "workers.intake"])
    assert states_of(kept) == {"scheduler": "failed", "database": "ok"}


seen_states = st.lists(st.fixed_dictionaries({"scanner": st.sampled_from(STATES), "store": st.sampled_from(STATES)}))


@given(seen_states)
def test_the_level_never_flaps_and_always_has_a_reason(history: list[Mapping[str, str]]) -> None:
    """A rise needs RISE_SECONDS without any observation that allows no more, so there is at most one in that time."""
    health: Health = {}
    last_worse, levels = {}, [ServiceLevel.FULL]
    for number, states in enumerate(history):
        at = number * PAUSE
        health = observed(health, at, **states)
        assert reason_of(health)
        assert (reason_of(health) == ALL_WORK) == (level(health) is ServiceLevel.FULL)
        for each in ServiceLevel:
            if not level_of(states).includes(each):
                last_worse[each] = at
        if level(health).rank < levels[-1].rank:
            assert at - last_worse[level(health)] >= RISE_SECONDS, "it rose while it should not"
        if level(health).rank > levels[-1].rank:
            assert not level_of(history[number - 1]).includes(levels[-1]), "it fell after one observation"
        levels.append(level(health))


@given(seen_states)
def test_what_lasts_is_followed(history: list[Mapping[str, str]]) -> None:
    health: Health = {}
    for number, states in enumerate(history):
        health = observed(health, number * PAUSE, **states)
    if history:
        for later in range(12):
            health = observed(health, (len(history) + later) * PAUSE, **history[-1])
        assert level(health) is level_of(history[-1])


@given(seen_states)
def test_the_health_survives_the_row(history: list[Mapping[str, str]]) -> None:
    health: Health = {}
    for number, states in enumerate(history):
        health = observed(health, number * PAUSE, **states)
        stored = json.loads(json.dumps({name: each.document() for name, each in health.items()}))
        assert {name: ComponentHealth(**document) for name, document in stored.items()} == health


# Features


def test_each_level_leaves_out_what_it_says() -> None:
    by_level = {level: set(features_of(level, {})) for level in ServiceLevel}
    assert by_level[ServiceLevel.FULL] == set(FEATURES)
    assert by_level[ServiceLevel.FULL] - by_level[ServiceLevel.DEGRADED] == {"ocr", "previews"}
    assert by_level[ServiceLevel.DEGRADED] - by_level[ServiceLevel.BASIC] == {"thumbnails"}
    assert by_level[ServiceLevel.BASIC] - by_level[ServiceLevel.MAINTENANCE] == {"uploads"}
    assert "downloads" in by_level[ServiceLevel.MAINTENANCE]


@pytest.mark.parametrize(
    ("states", "gone"),
    [
        ({"scanner": "failed"}, {"malware_scan"}),
        ({"scanner": "off"}, {"malware_scan"}),
        ({"other_stores": "impaired"}, {"other_stores"}),
        ({"queue": "impaired"}, set()),
        ({"disk": "impaired"}, {"uploads"}),
        ({"scheduler": "failed"}, {"scheduled_tasks", "webhooks"}),
        ({"workers.derive": "failed"}, {"thumbnails", "previews"}),
        ({"workers.describe": "failed"}, {"processing", "text", "ocr", "thumbnails", "previews"}),
        ({"broker": "failed"}, {"malware_scan", "processing", "text", "ocr", "thumbnails", "previews"}),
        ({"database": "failed"}, set(FEATURES)),
    ],
)
def test_features_follow_the_components_even_where_the_level_is_pinned(states: dict[str, str], gone: set[str]) -> None:
    assert set(FEATURES) - set(features_of(ServiceLevel.FULL, states)) == gone


def test_a_worker_that_runs_does_not_postpone_steps_because_processing_waited() -> None:
    for name in WAITS_BY_ITSELF:
        assert level_for_steps({name: "failed"}) is ServiceLevel.FULL
    assert level_for_steps({"broker": "failed", "scanner": "failed"}) is ServiceLevel.DEGRADED
