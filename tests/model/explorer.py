"""Every interleaving of a few actors over a database, with a crash between any two of their steps.

An actor is a function that calls Windlass's own functions. A step is what others can see happen at once: a statement
outside a transaction, a whole transaction (SQLite has one writer at a time, and a reader sees none of it before the
commit), or what the actor does after a call of ``point``. Actors are greenlets in one thread, which is switched before
each step. An execution is played again from the start for each choice; a state that was seen before is not continued.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import greenlet
from django.db import connection

from windlass.database import connection as database_connection
from windlass.events import journal

#: A choice of the scheduler: this actor takes its next step, or is killed before it.
Choice = tuple[int, str]
RUN, CRASH = "step", "crash"
#: The variables of a thread that Windlass's functions use.
THREAD_LOCALS = (journal._open, database_connection._local)
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Crashed(BaseException):
    """The process of the actor was killed. No handler of Windlass catches it."""


class Violation(AssertionError):
    """An invariant does not hold; the message has the interleaving that leads there."""


class ModelClock(datetime):
    """Takes the place of ``datetime`` in ``kernel.clock``: the time is what actors make it."""

    shift = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return BEGINNING + ModelClock.shift


def point(label: str) -> None:
    """The actor's next step begins here. Does nothing outside actors."""
    scheduler = greenlet.getcurrent().parent
    if scheduler is not None:
        scheduler.switch(label)


@dataclass
class Actor:
    """``crashes``: it may be killed before any of its steps. ``memory``: what it has seen, as far as that decides what
    it does next. ``close``: what the kernel does when its process ends."""

    name: str
    work: Callable[[], None]
    crashes: bool = False
    memory: Callable[[], object] = lambda: None
    close: Callable[[], None] = lambda: None


@dataclass
class Model:
    """``reset`` makes the first state and returns the actors. ``state`` is everything that actors share, for the
    comparison of states. ``holds`` is called after every step, ``holds_finally`` when no actor has a step left; both
    raise AssertionError."""

    reset: Callable[[], Sequence[Actor]]
    state: Callable[[], object]
    holds: Callable[[], None]
    holds_finally: Callable[[], None]
    most_crashes: int = 1


@dataclass
class _Running:
    actor: Actor
    greenlet: greenlet.greenlet
    label: str = ""
    steps: int = 0
    locals: list[dict[str, Any]] = field(default_factory=lambda: [{} for _ in THREAD_LOCALS])

    def take(self, choice: str) -> None:
        """Let it take its next step, up to the point before the one after it."""
        self._swap_locals()
        label = self.greenlet.throw(Crashed) if choice == CRASH else self.greenlet.switch()
        self._swap_locals()
        self.label = str(label)
        if self.ended:
            self.actor.close()

    def _swap_locals(self) -> None:
        """Each actor is a thread as far as Windlass's own variables of a thread go."""
        for number, local in enumerate(THREAD_LOCALS):
            kept = dict(local.__dict__)
            local.__dict__.clear()
            local.__dict__.update(self.locals[number])
            self.locals[number] = kept

    @property
    def ended(self) -> bool:
        return bool(self.greenlet.dead)


@dataclass
class Explored:
    """``executions``: how often it was played; ``states``: how many different states there were."""

    executions: int = 0
    states: int = 0


def explore(model: Model) -> Explored:
    """Play every interleaving. Raises Violation at the first one in which an invariant does not hold."""
    found, seen, ends = Explored(), set[bytes](), set[str]()
    waiting: list[list[Choice]] = [[]]
    with _points_before_statements():
        while waiting:
            found.executions += 1
            waiting += _play(model, waiting.pop(), seen, ends)
    found.states = len(seen)
    return found


def _play(model: Model, prefix: list[Choice], seen: set[bytes], ends: set[str]) -> list[list[Choice]]:
    """Play a prefix and go on with first choices until everything ended or is known. Returns the other choices.

    ``ends``: the shared states in which no actor had a step left, which need no second look.
    """
    ModelClock.shift = timedelta()
    running = [_Running(actor, greenlet.greenlet(_guarded(actor))) for actor in model.reset()]
    taken: list[Choice] = []
    others: list[list[Choice]] = []
    try:
        for each in running:
            each.take(RUN)
        while possible := _choices(running, taken, model.most_crashes):
            if len(taken) < len(prefix):
                choice = prefix[len(taken)]
            else:
                if (state := _digest(model, running)) in seen:
                    break
                seen.add(state)
                choice = possible[0]
                others += [[*taken, other] for other in possible[1:]]
            _step(model, running, choice, taken)
        else:
            if (end := repr((model.state(), ModelClock.shift))) not in ends:
                ends.add(end)
                _check(model.holds_finally, running, taken)
    finally:
        for each in running:
            if not each.ended:
                each.take(CRASH)
    return others


def _step(model: Model, running: Sequence[_Running], choice: Choice, taken: list[Choice]) -> None:
    number, what = choice
    actor = running[number]
    taken.append(choice)
    actor.steps += 1
    actor.take(what)
    _check(model.holds, running, taken)


def _check(invariant: Callable[[], None], running: Sequence[_Running], taken: Sequence[Choice]) -> None:
    try:
        invariant()
    except AssertionError as error:
        steps = ", ".join(f"{running[number].actor.name} {what}" for number, what in taken)
        raise Violation(f"{error}\nafter: {steps}") from error


def _choices(running: Sequence[_Running], taken: Sequence[Choice], most_crashes: int) -> list[Choice]:
    alive = [number for number, each in enumerate(running) if not each.ended]
    choices = [(number, RUN) for number in alive]
    if sum(what == CRASH for _, what in taken) < most_crashes:
        choices += [(number, CRASH) for number in alive if running[number].actor.crashes]
    return choices


def _digest(model: Model, running: Sequence[_Running]) -> bytes:
    """What decides everything that can follow: the shared state, and where each actor is and what it remembers."""
    actors = [(each.label, each.steps, each.actor.memory()) for each in running]
    crashes = sum(each.label == "crashed" for each in running)
    return hashlib.sha256(repr((model.state(), ModelClock.shift, crashes, actors)).encode()).digest()


def _guarded(actor: Actor) -> Callable[[], str]:
    def run() -> str:
        try:
            point("beginning")
            actor.work()
        except Crashed:
            return "crashed"
        return "ended"

    return run


@contextmanager
def _points_before_statements() -> Iterator[None]:
    """Actors pause before each statement outside a transaction, and before each BEGIN."""

    def pause(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Mapping[str, Any]) -> Any:
        if not connection.in_atomic_block and not sql.startswith("PRAGMA"):
            point(sql.split(" ", 1)[0])
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(pause):
        yield
