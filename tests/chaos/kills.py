"""SIGKILL for the processes of a server, its services and its proxy, one at a time or several within a few seconds."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.chaos.system import System

#: How many kills a storm has, and the longest time between two of them (seconds).
FEWEST, MOST = 3, 6
LONGEST_GAP = 1.5
#: How long a kill waits for a process that is being started again (seconds).
WAIT_SECONDS = 5.0


def pids(system: System, role: str) -> list[int]:
    """The processes of a role of Windlass: web, worker, scheduler."""
    found = []
    for process in system.server.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[1:4] == ["-m", "windlass", role]:
                found.append(process.pid)
    return sorted(found)


def kill_process(role: str) -> Callable[[System, random.Random], None]:
    """Kill one process of a role, if there is one within WAIT_SECONDS; its supervisor starts another."""

    def act(system: System, chance: random.Random) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := pids(system, role)) and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            if found:
                os.kill(chance.choice(found), signal.SIGKILL)
                system.kills += 1

    return act


def kill_proxy(system: System, chance: random.Random) -> None:
    system.kills += system.relay.is_listening
    system.relay.kill()


def kill_broker(system: System, chance: random.Random) -> None:
    assert system.broker is not None
    system.kills += system.broker.program.process is not None
    system.broker.program.kill()


def kill_database(system: System, chance: random.Random) -> None:
    assert system.database is not None
    system.kills += system.database.program.process is not None
    system.database.program.kill()


def kill_store(system: System, chance: random.Random) -> None:
    assert system.store is not None
    system.kills += system.store.process is not None
    system.store.kill()


def kill_scanner(system: System, chance: random.Random) -> None:
    assert system.scanner is not None
    system.kills += system.scanner.is_running
    system.scanner.kill()


def killed_for(kill: Callable[[System, random.Random], None], most: float) -> Callable[[System, random.Random], None]:
    """Kill something that no supervisor starts again, and start it after up to ``most`` seconds."""

    def act(system: System, chance: random.Random) -> None:
        kill(system, chance)
        time.sleep(chance.random() * most)
        system.start_everything()

    return act


@dataclass(frozen=True, slots=True)
class Target:
    """``exists``: whether the mode has it. ``weight``: how often a storm chooses it."""

    kill: Callable[[System, random.Random], None]
    weight: int
    exists: Callable[[System], bool] = lambda system: True


TARGETS = (
    Target(kill_process("web"), 5),
    Target(kill_process("worker"), 5),
    Target(kill_process("scheduler"), 2),
    Target(kill_proxy, 1),
    Target(kill_broker, 2, lambda system: system.broker is not None),
    Target(kill_database, 2, lambda system: system.database is not None),
    Target(kill_store, 2, lambda system: system.store is not None),
    Target(kill_scanner, 1, lambda system: system.scanner is not None),
)


def storm(system: System, chance: random.Random) -> None:
    """Kill several at short distances: some at once, some while another is being started again or is away.

    Services and the proxy come back in the middle of the storm or at its end.
    """
    targets = [target for target in TARGETS if target.exists(system)]
    count = chance.randint(FEWEST, MOST)
    chosen = chance.choices(targets, [target.weight for target in targets], k=count)
    back = chance.randrange(count)
    for number, target in enumerate(chosen):
        target.kill(system, chance)
        if number == back:
            system.start_everything()
        time.sleep(LONGEST_GAP * chance.random() ** 2)
    system.start_everything()
