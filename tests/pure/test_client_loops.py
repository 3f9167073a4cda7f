"""The loops of both clients: groups of flows, errors of effects, values that are emitted. No request is sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from windlass.client import AsyncClient, Client
from windlass.client.effects import Emit, Flow, Sleep, call, one_at_a_time, together


def run_blocking(make: Callable[[], Flow[Any]]) -> Any:
    with Client() as client:
        return client._performer.run(make())


def run_awaited(make: Callable[[], Flow[Any]]) -> Any:
    async def run() -> Any:
        async with AsyncClient() as client:
            return await client._performer.run(make())

    return asyncio.run(run())


both = pytest.mark.parametrize("run", [run_blocking, run_awaited])
Run = Callable[[Callable[[], Flow[Any]]], Any]


class Running:
    """Counts the flows that run at the same time."""

    def __init__(self) -> None:
        self.now = self.most = self.ended = 0
        self._lock = threading.Lock()

    def flow(self, result: int, seconds: float = 0.02) -> Flow[int]:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield Sleep(seconds)
            return result
        finally:
            with self._lock:
                self.now -= 1
                self.ended += 1


def fail() -> Flow[int]:
    yield Sleep(0.05)
    raise KeyError("it failed")


@both
def test_results_have_the_order_of_the_flows_whatever_ends_first(run: Run) -> None:
    running = Running()
    flows = (running.flow(number, 0.05 - number / 100) for number in range(5))
    assert run(lambda: together(flows, 2)) == [0, 1, 2, 3, 4]
    assert running.most == 2


@both
def test_the_first_error_stops_the_other_flows(run: Run) -> None:
    running = Running()

    def nested() -> Flow[list[int]]:
        return together([running.flow(1, 60), running.flow(2, 60)], 2)

    started = time.monotonic()
    with pytest.raises(KeyError, match="it failed"):
        run(lambda: together([running.flow(0, 60), nested(), fail()], 3))
    assert time.monotonic() - started < 10
    assert (running.now, running.ended) == (0, 3), "every flow was closed"


@both
def test_a_flow_may_handle_the_error_of_an_effect(run: Run) -> None:
    def refuse() -> int:
        raise PermissionError("no")

    def careful() -> Flow[str]:
        try:
            yield from call(refuse)
        except PermissionError as error:
            return f"handled: {error}"
        return "no error"

    assert run(careful) == "handled: no"
    with pytest.raises(PermissionError):
        run(lambda: call(refuse))


@both
def test_flows_that_run_one_at_a_time_do_not_overlap(run: Run) -> None:
    running = Running()
    assert run(lambda: together([one_at_a_time(running.flow(number)) for number in range(3)], 3)) == [0, 1, 2]
    assert running.most == 1


def numbers() -> Flow[None]:
    for number in range(3):
        doubled = yield from call(lambda number=number: 2 * number)  # type: ignore[misc]  # bound now
        yield Emit(doubled)


def test_emitted_values_are_iterated() -> None:
    with Client() as client:
        assert list(client._performer.iterate(numbers())) == [0, 2, 4]

    async def iterate() -> list[int]:
        async with AsyncClient() as client:
            return [each async for each in client._performer.iterate(numbers())]

    assert asyncio.run(iterate()) == [0, 2, 4]
