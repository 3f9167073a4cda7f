"""Breakers of several processes with one shared circuit, which is in memory here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.resilience import circuits
from windlass.resilience.circuit_breaker import READ_SECONDS, Breaker, BreakerOpen, Change
from windlass.resilience.circuits import (
    TRIAL_LEASE_SECONDS,
    Circuit,
    CircuitsUnavailable,
    Policy,
    State,
)

POLICY = Policy(failure_threshold=3, success_threshold=2, recovery_seconds=30)


class Away(Exception):
    """The service does not answer."""


class MemoryCircuits:
    """One circuit, as the table has it."""

    def __init__(self) -> None:
        self.row = Circuit()
        self.is_away = False
        self.reads = 0
        self.history: list[State] = []
        #: Runs once, just before the next change, as another process would.
        self.first: Callable[[], object] = lambda: None

    def read(self, name: str) -> Circuit:
        self._require()
        self.reads += 1
        return self.row

    def change(self, name: str, before: Circuit, after: Circuit) -> bool:
        self._require()
        first, self.first = self.first, lambda: None
        first()
        if self.row.generation != before.generation:
            return False
        assert after.generation > before.generation
        if after.state != self.row.state:
            self.history.append(after.state)
        self.row = after
        return True

    def _require(self) -> None:
        if self.is_away:
            raise CircuitsUnavailable


@dataclass(eq=False)
class Call:
    context: AbstractContextManager[None]
    process: int
    is_trial: bool

    def end(self, error: BaseException | None) -> None:
        self.context.__exit__(type(error) if error else None, error, None)


class Installation:
    """Processes with a breaker of one name each, their clock and their calls that are under way."""

    def __init__(self, processes: int = 3) -> None:
        self.now = 1000.0
        self.circuits = MemoryCircuits()
        self.changes: list[Change] = []
        self.breakers = [self._start() for _ in range(processes)]
        self.running: list[Call] = []
        #: Kept, because a call that is garbage-collected would end as one that is cut off.
        self.killed: list[Call] = []

    def _start(self) -> Breaker:
        clock = lambda: self.now  # noqa: E731  read at each call
        return Breaker("scanner", lambda: POLICY, clock, self.changes.append, lambda: self.circuits, clock)

    def begin(self, process: int) -> Call | None:
        """Start a call; None if the breaker refuses it."""
        context = self.breakers[process].call(Away)
        try:
            context.__enter__()
        except BreakerOpen:
            return None
        call = Call(context, process, self.breakers[process].circuit.state is State.HALF_OPEN)
        self.running.append(call)
        return call

    def end(self, call: Call, error: BaseException | None = None) -> None:
        self.running.remove(call)
        call.end(error)

    def fail(self, process: int, times: int = 1) -> None:
        for _ in range(times):
            call = self.begin(process)
            assert call is not None
            self.end(call, Away())

    def succeed(self, process: int) -> None:
        call = self.begin(process)
        assert call is not None
        self.end(call)

    def kill(self, process: int) -> None:
        """Its calls end without a trace; another process takes its place."""
        self.killed += [call for call in self.running if call.process == process]
        self.running = [call for call in self.running if call.process != process]
        self.breakers[process] = self._start()

    def wait(self, seconds: float) -> None:
        """Time passes; trials of living processes are renewed, as the table's implementation does it."""
        self.now += seconds
        if self.circuits.row.state is State.HALF_OPEN and self.trials():
            self.circuits.row = replace(self.circuits.row, trial_until=self.now + TRIAL_LEASE_SECONDS)

    def reset(self) -> None:
        self.circuits.row = circuits.closed(self.circuits.row)
        for call in self.running:
            call.is_trial = False  # its circuit is closed, so it is a call like any other

    def trials(self) -> list[Call]:
        return [call for call in self.running if call.is_trial]

    def state(self, process: int) -> State:
        return self.breakers[process].circuit.state


def test_what_one_process_finds_out_counts_in_all() -> None:
    site = Installation()
    site.fail(0, 3)
    assert site.begin(1) is None
    assert site.circuits.row.state is State.OPEN
    site.wait(30)
    site.succeed(1)
    site.wait(READ_SECONDS)
    site.succeed(2)
    site.wait(READ_SECONDS)
    site.succeed(0)
    assert {site.state(process) for process in range(3)} == {State.CLOSED, State.HALF_OPEN}
    assert site.state(0) is State.CLOSED
    assert site.circuits.history == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert [change.after for change in site.changes] == site.circuits.history, "each change is reported once"


def test_a_new_process_starts_with_the_shared_state() -> None:
    site = Installation()
    site.fail(0, 3)
    for process in range(3):
        site.kill(process)
        assert site.begin(process) is None


def test_failures_below_the_threshold_stay_in_the_process_and_outlast_reads() -> None:
    site = Installation()
    site.fail(0, 2)
    site.fail(1, 2)
    assert (site.circuits.row, site.state(0)) == (Circuit(), State.CLOSED)
    site.wait(READ_SECONDS)
    site.fail(0)
    assert site.circuits.row.state is State.OPEN


def test_the_shared_state_is_read_once_a_second() -> None:
    site = Installation()
    for _ in range(100):
        site.succeed(0)
    assert site.circuits.reads == 1
    site.wait(READ_SECONDS)
    site.succeed(0)
    assert site.circuits.reads == 2


def test_two_processes_that_open_or_try_at_the_same_moment_make_one_change() -> None:
    site = Installation(2)
    site.fail(0, 2)
    site.fail(1, 2)
    site.circuits.first = lambda: site.fail(1)
    site.fail(0)
    assert site.circuits.history == [State.OPEN]
    site.wait(30)
    won: list[Call | None] = []
    site.circuits.first = lambda: won.append(site.begin(1))
    assert site.begin(0) is None
    assert won[0] is not None
    assert len(site.trials()) == 1


def test_a_killed_trial_is_replaced_when_its_lease_ends_and_a_long_one_is_not() -> None:
    site = Installation(2)
    site.fail(0, 3)
    site.wait(30)
    assert site.begin(0)
    site.wait(TRIAL_LEASE_SECONDS)
    assert site.begin(1) is None, "the process lives and renews the lease"
    site.kill(0)
    site.wait(TRIAL_LEASE_SECONDS - 0.1)
    assert site.begin(1) is None
    site.wait(1)
    assert site.begin(1)


def test_a_reset_is_seen_within_a_second() -> None:
    site = Installation(2)
    site.fail(0, 3)
    assert site.begin(1) is None
    site.reset()
    site.reset()
    site.wait(READ_SECONDS)
    site.succeed(0)
    site.succeed(1)
    assert site.circuits.row.state is State.CLOSED


def test_without_the_shared_state_each_process_has_its_own_breaker() -> None:
    site = Installation(2)
    site.circuits.is_away = True
    site.fail(0, 3)
    assert site.begin(0) is None
    site.succeed(1)
    site.wait(30)
    site.succeed(0)
    site.succeed(0)
    assert site.state(0) is State.CLOSED
    assert site.circuits.row == Circuit()


def test_what_changed_while_the_shared_state_was_unavailable_is_written_afterwards() -> None:
    site = Installation(2)
    site.circuits.is_away = True
    site.fail(0, 3)
    site.circuits.is_away = False
    site.wait(READ_SECONDS)
    assert site.begin(0) is None
    assert site.circuits.row.state is State.OPEN
    site.wait(READ_SECONDS)
    assert site.begin(1) is None


def test_what_another_process_wrote_meanwhile_wins() -> None:
    site = Installation(2)
    site.circuits.is_away = True
    site.fail(0, 3)
    site.wait(30)
    site.succeed(0)
    assert site.state(0) is State.HALF_OPEN
    site.circuits.is_away = False
    site.fail(1, 3)
    assert site.begin(0) is None
    assert site.state(0) is State.OPEN


def test_a_closed_shared_circuit_wins_over_an_open_one_of_the_same_generation() -> None:
    """A process that could not read it has counted its own generations meanwhile."""
    site = Installation(2)
    site.circuits.is_away = True
    site.fail(0, 3)
    for _ in range(2):
        site.wait(30)
        site.fail(0)
    site.circuits.is_away = False
    site.fail(1, 3)
    site.wait(30)
    site.succeed(1)
    site.succeed(1)
    assert (site.state(0), site.state(1)) == (State.OPEN, State.CLOSED)
    assert site.breakers[0].circuit.generation == site.circuits.row.generation
    site.succeed(0)
    assert (site.state(0), site.circuits.row.state) == (State.CLOSED, State.CLOSED)
    assert site.circuits.history == [State.OPEN, State.HALF_OPEN, State.CLOSED]


ERRORS: dict[str, BaseException | None] = {"succeeds": None, "fails": Away(), "is cut off": ValueError()}

begins = st.tuples(st.just("begins"), st.integers(0, 2), st.just(0.0))
ends = st.tuples(st.sampled_from(sorted(ERRORS)), st.integers(0, 5), st.just(0.0))
races = st.tuples(st.just("races"), st.integers(0, 2), st.just(0.0))
kills = st.tuples(st.just("is killed"), st.integers(0, 2), st.just(0.0))
resets = st.tuples(st.just("is reset"), st.just(0), st.just(0.0))
waits = st.tuples(st.just("waits"), st.just(0), st.sampled_from([0.5, 1.0, 5.0, 10.0, 30.0]))
steps = st.lists(st.one_of(begins, begins, ends, ends, races, kills, resets, waits), max_size=80)


def play(site: Installation, name: str, number: int, seconds: float) -> None:
    if name == "begins":
        site.begin(number)
    elif name in ERRORS:
        if site.running:
            site.end(site.running[number % len(site.running)], ERRORS[name])
    elif name == "races":
        site.circuits.first = lambda: site.begin((number + 1) % 3)
        site.begin(number)
        site.circuits.first = lambda: None
    elif name == "is killed":
        site.kill(number)
    elif name == "is reset":
        site.reset()
    else:
        site.wait(seconds)


def opened(history: list[tuple[str, int, float]]) -> Installation:
    """An installation whose breaker has opened and may be tried."""
    site = Installation()
    site.fail(0, 3)
    site.wait(30)
    return site


@given(steps)
def test_there_is_at_most_one_trial_in_the_whole_installation(history: list[tuple[str, int, float]]) -> None:
    """At most one trial runs. The generation never falls, and grows by one with each change. Whatever happened, a
    process that asks again for long enough is admitted."""
    site = opened(history)
    for name, number, seconds in history:
        before = site.circuits.row
        play(site, name, number, seconds)
        assert len(site.trials()) <= 1
        assert site.circuits.row.generation >= before.generation
    for process in range(3):
        site.kill(process)
    site.wait(POLICY.recovery_seconds + TRIAL_LEASE_SECONDS)
    assert site.begin(0)


@given(steps, st.lists(st.booleans(), min_size=80, max_size=80))
def test_an_unavailable_shared_state_never_reaches_callers(
    history: list[tuple[str, int, float]], away: list[bool]
) -> None:
    """Callers see BreakerOpen or nothing. When the shared state is back, all processes follow it."""
    site = opened(history)
    for (name, number, seconds), is_away in zip(history, away, strict=False):
        site.circuits.is_away = is_away
        play(site, name, number, seconds)
    site.circuits.is_away = False
    for call in list(site.running):
        site.end(call)
    for process in range(3):
        site.wait(POLICY.recovery_seconds + TRIAL_LEASE_SECONDS)
        call = site.begin(process)
        assert call is not None
        assert site.breakers[process].circuit.generation == site.circuits.row.generation
        assert site.state(process) is site.circuits.row.state
        site.end(call)


def test_errors_of_callers_pass_through() -> None:
    site = Installation()
    with pytest.raises(ValueError, match="mine"), site.breakers[0].call(Away):
        raise ValueError("mine")
