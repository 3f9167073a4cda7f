"""Play a list of faults against a system with clients, and report what did not hold."""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos import verdict
from tests.chaos.clients import DIALECTS, FAILING, UploadClient
from tests.chaos.faults import WRONG_CLOCKS, Fault
from tests.chaos.ledger import Ledger
from tests.chaos.system import System, running

#: The promise: after a fault, uploads are acknowledged and processed again within this time (seconds). A machine that
#: is busy with something else is given more.
RECOVERY_SECONDS = 60.0
#: How long a server may take for its first file.
FIRST_FILE_SECONDS = 300.0
#: After so many faults the clients end, everything is verified, and new ones begin.
FAULTS_BETWEEN_VERDICTS = 25
#: How long a client pauses after each file, on average (seconds).
THINK_SECONDS = 1.0


@dataclass
class Report:
    """``recoveries``: the seconds of each fault of a kind, from the end of the fault. ``verified_faults``: so many of
    them were followed by a comparison of everything with what clients were promised."""

    mode: str
    recovery_limit: float = RECOVERY_SECONDS
    violations: list[str] = field(default_factory=list)
    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    kills: int = 0
    verified_faults: int = 0

    @property
    def faults(self) -> int:
        return sum(map(len, self.recoveries.values()))

    def document(self) -> dict[str, object]:
        faults = {
            name: {"count": len(times), "median": statistics.median(times), "longest": max(times)}
            for name, times in sorted(self.recoveries.items())
        }
        return {
            "mode": self.mode,
            "faults": self.faults,
            "kills": self.kills,
            "verified_faults": self.verified_faults,
            "seconds": round(self.seconds),
            "violations": self.violations,
            "recovery_seconds": faults,
            "counts": self.counts,
        }


class Operator:
    """Retries dead letters, and pins service levels at which everything goes on."""

    def __init__(self, url: str, seed: int) -> None:
        self._http = httpx.Client(base_url=url, timeout=5, trust_env=False)
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(30)
        self._http.close()

    def _run(self) -> None:
        levels = [{"level": "degraded"}, {"level": "full"}, {"automatic": True}]
        while not self._stopping.wait(1.5 * self._chance.random()):
            try:
                if self._chance.random() < 0.5:
                    self._http.post("/error-handling/retry-tasks", json={"all": True})
                else:
                    self._http.put("/error-handling/service-level", json=self._chance.choice(levels))
            except httpx.TransportError:
                continue


@dataclass(frozen=True, slots=True)
class Course:
    """How a list is played. ``kills``: it ends once so many processes were killed; ``stopping``: or once this is set;
    ``verified``: called with the report after each comparison with what clients were promised."""

    recovery_limit: float = RECOVERY_SECONDS
    think_seconds: float = THINK_SECONDS
    kills: int | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    verified: Callable[[Report], None] = lambda report: None

    def is_over(self, report: Report) -> bool:
        return self.stopping.is_set() or (self.kills is not None and report.kills >= self.kills)


def play(
    mode: str,
    faults: Sequence[Fault] | Callable[[System], Sequence[Fault]],
    seed: int,
    say: Callable[[str], None],
    course: Course | None = None,
) -> Report:
    """Play the faults in order. It ends at the first violation: what comes after it proves nothing.

    ``faults`` may be a function of the system, which knows whether it has a disk of its own. Raises Missing.
    """
    course = course or Course()
    report, began = Report(mode, course.recovery_limit), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="windlass-chaos-") as directory, running(mode, Path(directory)) as system:
        ledger = Ledger()
        assert system.wait_until_recovered(FIRST_FILE_SECONDS) is not None, "the server did not process a first file"
        listed = list(faults(system) if callable(faults) else faults)
        for at in range(0, len(listed), FAULTS_BETWEEN_VERDICTS):
            if course.is_over(report):
                break
            _play_some(system, ledger, listed[at : at + FAULTS_BETWEEN_VERDICTS], seed + at, report, course, say)
            report.counts = dict(sorted(ledger.counts.items()))
            report.seconds = time.monotonic() - began
            if report.violations:
                say(_end_of_log(system))
                break
            report.verified_faults = report.faults
            course.verified(report)
    return report


def _play_some(
    system: System,
    ledger: Ledger,
    faults: Sequence[Fault],
    seed: int,
    report: Report,
    course: Course,
    say: Callable[[str], None],
) -> None:
    """Play some faults under load, then end the clients and verify everything."""
    actors: list[UploadClient | Operator] = [
        kind(system.url, ledger, seed, system.is_excused, FAILING, course.think_seconds) for kind in DIALECTS
    ]
    actors.append(Operator(system.url, seed))
    for actor in actors:
        actor.start()
    try:
        for fault in faults:
            if course.is_over(report):
                break
            report.violations += _play_one(system, fault, report, say)
            report.violations += ledger.violations
            if report.violations:
                return
    finally:
        for actor in actors:
            actor.stop()
        for actor in actors:
            actor.join()
    report.violations += ledger.violations
    if not report.violations:
        report.violations += verdict.final(system, ledger)


def _play_one(system: System, fault: Fault, report: Report, say: Callable[[str], None]) -> list[str]:
    try:
        fault.happen(system)
    except AssertionError as error:
        return [f"{fault}: {error}"]
    finally:
        report.kills = system.kills
    took = system.wait_until_recovered(report.recovery_limit)
    if took is None:
        return [f"{fault}: not recovered after {report.recovery_limit:.0f} s"]
    report.recoveries[fault.name].append(round(took, 2))
    say(f"{report.faults:5} {fault}: recovered in {took:.1f} s; {report.kills} kills so far")
    return [f"{fault}: {text}" for text in verdict.inconsistent(system, after_wrong_clock=fault.name in WRONG_CLOCKS)]


def _end_of_log(system: System) -> str:
    return "\n".join(system.server.log.read_text(errors="replace").splitlines()[-60:])
