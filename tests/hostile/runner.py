"""Process many files with ``SandboxTrial``, in as many processes as there are free processors."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.catalogue import Hostile, catalogue
from tests.hostile.mutator import mutant
from tests.hostile.sandbox_trial import STEP_SECONDS, Ending, SandboxTrial, sandbox_trial

#: Where homes are kept, if it is there: in memory nothing waits for a disk.
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Trial:
    """One file to try: of the catalogue by name, or a mutant by seed and index."""

    name: str = ""
    seed: int = 0
    index: int = -1
    profile: str = "boundless"

    def file(self) -> Hostile:
        if self.index < 0:
            return catalogue()[self.name]
        found = mutant(self.seed, self.index)
        about = f"A damaged {found.sample}."
        return Hostile(found.name, "mutants", found.filename, about, lambda _: found.content)


def hand_made(profile: str) -> list[Trial]:
    return [Trial(name, profile=profile) for name in catalogue()]


def mutants(seed: int, count: int) -> list[Trial]:
    """Every other one with the limits as they come, one in twenty-five with everything."""
    return [Trial(seed=seed, index=n, profile=_profile_of(n)) for n in range(count)]


def _profile_of(index: int) -> str:
    if index % 25 == 0:
        return "everything"
    return "limited" if index % 2 else "boundless"


def endings(
    trials: Iterable[Trial], processes: int, keep: Path | None = None, *, step_seconds: float = STEP_SECONDS
) -> Iterator[Ending]:
    """How each ended, as it ends. A file that ended in a breach is written to ``keep``."""
    memory = MEMORY if MEMORY.is_dir() else None
    context = multiprocessing.get_context("spawn")  # each sets up a Django and a sandbox of its own
    base = Path(tempfile.mkdtemp(prefix="windlass-hostile-", dir=memory))
    try:
        with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(str(base), step_seconds)) as pool:
            waiting: list[Future[Ending]] = [pool.submit(_try, trial, keep) for trial in trials]
            for future in as_completed(waiting):
                yield future.result()
            for _ in range(processes):
                pool.submit(_end)
    finally:
        shutil.rmtree(base, ignore_errors=True)


_stack = ExitStack()
_ground: SandboxTrial | None = None


def _begin(base: str, step_seconds: float) -> None:
    global _ground
    _ground = _stack.enter_context(sandbox_trial(Path(tempfile.mkdtemp(dir=base)), step_seconds))


def _try(trial: Trial, keep: Path | None) -> Ending:
    assert _ground is not None
    tried = trial.file()
    content = tried.make(_ground.canary.bait())
    ending = _ground.try_out(tried, content, trial.profile)
    if ending.breaches and keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / written_as(trial)).write_bytes(content)
    return ending


def _end() -> None:
    """The sandbox ends with its process; the canary's thread is asked to."""
    from windlass.processing import api as processing

    processing.shut_down()
    _stack.close()


def written_as(trial: Trial) -> str:
    return (
        f"mutant-{trial.seed}-{trial.index}" if trial.index >= 0 else f"{trial.name}-{catalogue()[trial.name].filename}"
    )


def document(ending: Ending) -> dict[str, Any]:
    return {**vars(ending), "kind": ending.kind}
