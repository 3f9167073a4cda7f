"""Circuit breakers: pure transitions over a clock that the test sets, and the lock around them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from windlass.conf import BadSetting, Settings, breaker_thresholds
from windlass.conf.reader import read
from windlass.resilience import circuits as transitions
from windlass.resilience.circuit_breaker import Breaker, BreakerOpen, Change
from windlass.resilience.circuits import TRIAL_LEASE_SECONDS, Circuit, Policy, State

POLICY = Policy(failure_threshold=3, success_threshold=2, recovery_seconds=30)


class Away(Exception):
    """The dependency is unavailable."""


class Site:
    """A breaker, its clock and the transitions that it published."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.now = 1000.0
        self.told: list[Change] = []
        self.breaker = Breaker("store", lambda: policy, lambda: self.now, self.told.append)

    @property
    def state(self) -> State:
        return self.breaker.circuit.state

    def succeed(self) -> None:
        with self.breaker.call(Away):
            pass

    def fail(self, error: type[Exception] = Away) -> None:
        with pytest.raises(error), self.breaker.call(Away):
            raise error

    def fails(self, times: int) -> None:
        for _ in range(times):
            self.fail()


def test_it_opens_after_consecutive_failures_and_refuses_calls() -> None:
    site = Site()
    site.fails(2)
    site.succeed()
    site.fails(2)
    assert site.state == State.CLOSED, "a success between them begins the row anew"
    site.fail()
    assert site.state == State.OPEN
    with pytest.raises(BreakerOpen) as refused, site.breaker.call(Away):
        pytest.fail("the part was asked")
    assert refused.value.retry_after == 30


def test_it_half_opens_after_its_pause_and_closes_after_enough_successes() -> None:
    site = Site()
    site.fails(3)
    site.now += 29
    with pytest.raises(BreakerOpen) as refused, site.breaker.call(Away):
        pytest.fail("the part was asked")
    assert refused.value.retry_after == 1
    site.now += 1
    site.succeed()
    assert site.state == State.HALF_OPEN
    site.succeed()
    assert site.state == State.CLOSED
    assert [(change.before, change.after) for change in site.told] == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]
    assert (site.told[0].failures, site.told[0].retry_after) == (3, 30)


def test_a_failed_trial_opens_it_again() -> None:
    site = Site()
    site.fails(3)
    site.now += 30
    site.succeed()
    site.fail()
    assert site.state == State.OPEN
    assert site.breaker.retry_after() == 30


def test_half_open_admits_one_call_at_a_time() -> None:
    site = Site()
    site.fails(3)
    site.now += 30
    with site.breaker.call(Away):
        with pytest.raises(BreakerOpen) as refused, site.breaker.call(Away):
            pytest.fail("a second trial was let through")
        assert 0 < refused.value.retry_after < 30
    site.succeed()
    assert site.state == State.CLOSED


def test_errors_of_other_types_do_not_count() -> None:
    site = Site()
    site.fails(2)
    site.fail(ValueError)
    site.fail()
    assert site.state == State.OPEN, "neither a success nor a failure came between"
    site.now += 30
    site.fail(ValueError)
    assert site.state == State.HALF_OPEN
    site.succeed()
    site.succeed()
    assert site.state == State.CLOSED, "the trial that told nothing made room for the next"


def test_outcomes_of_calls_from_before_a_transition_are_ignored() -> None:
    """Slow calls that were admitted while the breaker was closed end after it has opened and half-opened."""
    site = Site()
    with site.breaker.call(Away):
        site.fails(3)
    assert site.state == State.OPEN, "a success from before does not close it"
    site = Site()
    slow = site.breaker.call(Away)
    slow.__enter__()
    site.fails(3)
    site.now += 30
    site.succeed()
    assert not slow.__exit__(Away, Away(), None), "what it raised goes on"
    assert site.state == State.HALF_OPEN, "a failure from before is no failed trial"


def test_concurrent_threads_make_one_trial() -> None:
    site = Site()
    site.fails(3)
    site.now += 30
    together, inside, refused = threading.Barrier(8), [], []

    def call() -> None:
        together.wait()
        try:
            with site.breaker.call(Away):
                inside.append(1)
                enough.wait(30)
        except BreakerOpen:
            refused.append(1)
            if len(refused) == 7:
                enough.set()

    enough = threading.Event()
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(inside), len(refused)) == (1, 7)


MOVES: dict[str, Callable[[Circuit, int, float], Circuit | None]] = {
    "admit": lambda circuit, turn, now: transitions.admitted(circuit, POLICY, now),
    "succeed": lambda circuit, turn, now: transitions.succeeded(circuit, POLICY, turn),
    "fail": lambda circuit, turn, now: transitions.failed(circuit, POLICY, turn, now),
    "let go": lambda circuit, turn, now: transitions.abandoned(circuit, turn),
}


@example([("fail", 0, 0.0)] * 4)
@example([*([("fail", 0, 0.0)] * 3), ("admit", 0, 30.0), ("admit", 0, 0.0)])
@example([("fail", 0, 0.0)] * 3 + [("succeed", 0, 0.0)])
@given(st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 3), st.floats(0, 40)), max_size=60))
def test_the_circuit_keeps_its_invariants_under_any_history(history: list[tuple[str, int, float]]) -> None:
    """Open says since when; a closed one has fewer failures than open it; a trial is made in half open only; nothing
    keeps it from ever being tried again; each change but the counts of a closed one is a new generation."""
    circuit, now = Circuit(), 0.0
    for name, age, passed in history:
        now += passed
        before = circuit
        circuit = MOVES[name](circuit, circuit.generation - age, now) or circuit
        counts_only = circuit == replace(before, failures=circuit.failures)
        assert circuit.generation - before.generation == (0 if counts_only else 1)
        match circuit.state:
            case State.CLOSED:
                assert circuit.failures < POLICY.failure_threshold
                assert circuit.trial_until is None
            case State.OPEN:
                assert circuit.opened_at is not None
                assert circuit.trial_until is None
                later = now + POLICY.recovery_seconds
                assert transitions.admitted(circuit, POLICY, later) is not None
            case State.HALF_OPEN:
                assert circuit.successes < POLICY.success_threshold
                assert transitions.admitted(transitions.abandoned(circuit, circuit.generation), POLICY, now) is not None
                assert transitions.admitted(circuit, POLICY, now + TRIAL_LEASE_SECONDS) is not None


def test_a_clock_that_was_set_back_does_not_keep_it_open_for_long() -> None:
    site = Site()
    site.fails(3)
    site.now -= 3600
    site.succeed()
    assert site.state == State.HALF_OPEN


def test_each_breaker_may_have_its_own_settings() -> None:
    found = read(Settings, {}, {"BREAKER_FAILURE_THRESHOLD": "7", "WINDLASS_BREAKER_SCANNER_RECOVERY_SECONDS": "3"})
    assert found.breaker("scanner") == (7, 2, 3.0)
    assert found.breaker("another") == (7, 2, 30.0)
    with pytest.raises(BadSetting, match=r"BREAKER_SCANNER_FAILURE_THRESHOLD.*greater than 0"):
        read(Settings, {}, {"BREAKER_SCANNER_FAILURE_THRESHOLD": "0"})
    with pytest.raises(BadSetting, match="Did you mean WINDLASS_BREAKER_SCANNER_RECOVERY_SECONDS"):
        read(Settings, {}, {"WINDLASS_BREAKER_SCANER_RECOVERY_SECONDS": "3"})


def test_each_store_may_have_its_own_thresholds(tmp_path: Path) -> None:
    (tmp_path / "stores.toml").write_text(
        f"""
        [near]
        storage_backend = "local"
        media_root = "{tmp_path / "near"}"
        [far]
        storage_backend = "local"
        media_root = "{tmp_path / "far"}"
        breaker_storage_failure_threshold = 2
        """
    )
    given = {"WINDLASS_STORES": str(tmp_path / "stores.toml"), "BREAKER_STORAGE_RECOVERY_SECONDS": "4"}
    found = read(Settings, {}, given | {"MEDIA_ROOT": str(tmp_path / "media")})
    assert breaker_thresholds(found, "storage") == (5, 2, 4.0)
    assert breaker_thresholds(found, "storage.near") == (5, 2, 4.0)
    assert breaker_thresholds(found, "storage.far") == (2, 2, 4.0)
    assert breaker_thresholds(found, "storage.unknown") == (5, 2, 4.0)
    assert breaker_thresholds(found, "scanner") == (5, 2, 30.0)
    named_default = read(Settings, {}, given | {"MEDIA_ROOT": str(tmp_path / "media"), "DEFAULT_STORE": "far"})
    assert breaker_thresholds(named_default, "storage") == (2, 2, 4.0)


def test_a_failure_that_does_not_count_says_nothing() -> None:
    site = Site()
    for mine in [True, True, False, True]:
        with pytest.raises(Away), site.breaker.call(Away, counts=lambda _, mine=mine: mine):
            raise Away
    assert site.state == State.OPEN, "three that count, and the fourth is no success between them"
    assert not site.breaker.admits_calls()
    site.now += 30
    assert site.breaker.admits_calls()


def test_services_have_thresholds_of_their_own() -> None:
    text = '{"ocr": {"failure_threshold": 7, "recovery_seconds": 1.5}}'
    settings = read(
        Settings,
        {},
        {"BREAKER_SERVICES": text, "BREAKER_SERVICE_SUCCESS_THRESHOLD": "4", "BREAKER_RECOVERY_SECONDS": "9"},
    )
    assert breaker_thresholds(settings, "service.ocr") == (7, 4, 1.5)
    assert breaker_thresholds(settings, "service.other") == (5, 4, 9.0)
    assert breaker_thresholds(settings, "broker") == (3, 1, 2.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "must be a JSON object of objects"),
        ('{"ocr": 3}', "must be a JSON object of objects"),
        ("{", "is not valid JSON"),
        ('{"ocr": {"threshold": 3}}', "has no 'threshold'; there are failure_threshold"),
        ('{"ocr": {"failure_threshold": 1.5}}', "failure_threshold of ocr is 1.5"),
        ('{"ocr": {"success_threshold": true}}', "success_threshold of ocr is True"),
        ('{"ocr": {"recovery_seconds": 0}}', "recovery_seconds of ocr is 0"),
    ],
)
def test_wrong_thresholds_of_services_are_refused(text: str, reason: str) -> None:
    with pytest.raises(BadSetting, match=reason):
        read(Settings, {}, {"BREAKER_SERVICES": text})
