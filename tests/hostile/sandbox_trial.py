"""Run a file through the whole plan as a worker does, in the real sandbox, on real records.

After each file the guarantees for hostile files are checked; each violation is a line in ``Ending.breaches``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests import migrated_home
from tests.hostile.canary import COLOUR, MARK, Canary
from tests.hostile.catalogue import Hostile
from tests.reasons import flaws

#: Ends of a file's processing; what is none of these hangs.
ENDED = frozenset({"READY", "REJECTED", "QUARANTINED", "FAILED"})

#: Seconds of one step. What needs more is ended, and says so; each bomb takes as long.
STEP_SECONDS = float(os.environ.get("HOSTILE_STEP_SECONDS", "3"))
STEP_MEMORY_MB = 1536
#: A machine that is busy with something else may be late by so much, for a file as a whole.
GRACE_SECONDS = float(os.environ.get("HOSTILE_GRACE_SECONDS", "60"))

#: A step that ends like this was surprised: its author did not think of such a file.
SURPRISED = re.compile(
    r"step failed in a way|step gave|step's answer|step made|step described|step said too much|error in the"
)
CRASHED = re.compile(r"step crashed|ended by the system|processor time|ended without an answer|sandbox itself")
LATE = re.compile(r"took longer than")
GREEDY = re.compile(r"more than \d+ MB of memory")


@dataclass(frozen=True)
class Ending:
    """How one file ended. ``breaches`` of the guarantees for every file are failures; the rest is reported."""

    name: str
    profile: str
    mime_type: str
    status: str
    reason: str
    seconds: float
    peak_memory: int
    steps: dict[str, str]
    breaches: list[str]

    @property
    def told(self) -> str:
        """Return all of its messages in one text."""
        return " ".join([self.reason, *self.steps.values()])

    @property
    def kind(self) -> str:
        """One word for how it went."""
        if self.status != "READY":
            return self.status.lower()
        kinds = ((CRASHED, "crashed"), (LATE, "late"), (GREEDY, "greedy"), (SURPRISED, "surprised"))
        found = next((word for look, word in kinds if look.search(self.told)), None)
        return f"ready, {found}" if found else "ready, left out" if self.steps else "ready"


@dataclass
class SandboxTrial:
    """One home with a database, a worker's sandbox and a canary. Made once in a process, by ``sandbox_trial``."""

    home: Path
    temporary: Path
    canary: Canary
    parent: int
    step_seconds: float
    peaks: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def try_out(self, tried: Hostile, content: bytes, profile: str) -> Ending:
        from tests.integration.processing.received_files import received, work_off
        from windlass.kernel.filenames import clean
        from windlass.processing import api as processing

        self.peaks.clear()
        self.notes.clear()
        began = time.monotonic()
        asset = received(content, clean(tried.filename), profile=profile, declared_mime_type=tried.declared)
        asset = work_off(asset)
        seconds = time.monotonic() - began
        breaches = [*self._of_record(asset, tried), *self._of_machine(seconds)]
        rows = {row.step: row.detail for row in asset_steps(asset) if row.state == "failed"}
        ending = Ending(
            tried.name,
            profile,
            asset.mime_type or "",
            asset.status,
            asset.message,
            round(seconds, 3),
            max(self.peaks, default=0),
            rows,
            breaches,
        )
        processing.delete(asset)
        left = [str(path.relative_to(self.home)) for path in (self.home / "media").rglob("*") if path.is_file()]
        return ending if not left else _with(ending, f"objects are left behind: {left}")

    def _of_record(self, asset: Any, tried: Hostile) -> Iterator[str]:
        """What is wrong with what the records say."""
        rows = asset_steps(asset)
        if asset.status not in ENDED:
            yield f"it is {asset.status}"
        if asset.status == "REJECTED" and not (asset.rejection or {}).get("detail"):
            yield "it was rejected without a reason"
        if asset.status != "READY" and not asset.message:
            yield f"it is {asset.status} without a reason"
        yield from (f"step {row.step} is {row.state}" for row in rows if row.state in ("running", "pending"))
        yield from (
            f"step {row.step} failed without a reason" for row in rows if row.state == "failed" and not row.detail
        )
        surprised = [row for row in rows if SURPRISED.search(row.detail)]
        yield from (f"step {row.step}: {row.detail} {' '.join(self.notes)}" for row in surprised)
        told = [row.detail for row in rows if row.state == "failed"] + [asset.message] * (asset.status != "READY")
        yield from (f"users cannot understand {reason!r}: {found}" for reason in told if (found := flaws(reason)))
        said = json.dumps([asset.extra_attributes, asset.message, asset.rejection, [row.detail for row in rows]])
        if MARK in said:
            yield "a canary's text is in the record"
        yield from self._of_renditions(asset, tried)

    def _of_renditions(self, asset: Any, tried: Hostile) -> Iterator[str]:
        """Where nothing points at the canary's picture, its colour is chance."""
        from windlass.storage.registry import store

        for made in asset.renditions.all():
            with store(made.store).open(made.key) as stored:
                data = stored.read()
            if MARK.encode() in data:
                yield f"a canary's text is in the rendition {made.name}"
            if tried.baited and made.mime_type.startswith("image/") and _shows(data, COLOUR):
                yield f"a canary's picture is in the rendition {made.name}"

    def _of_machine(self, seconds: float) -> Iterator[str]:
        """Yield breaches in the processes, files, memory and time that it used."""
        from windlass.processing import worker_sandbox

        yield from self.canary.heard()
        if sandbox_pid(worker_sandbox.sandbox()) != self.parent:
            yield "the sandbox's parent is another one"
            self.parent = sandbox_pid(worker_sandbox.sandbox())
        if children_of(self.parent):
            yield f"children are left: {children_of(self.parent)}"
        if max(self.peaks, default=0) > STEP_MEMORY_MB * 2**20 + resident_memory(self.parent):
            yield f"a child took {max(self.peaks) // 2**20} MiB"
        if seconds > len(self.peaks) * self.step_seconds + GRACE_SECONDS:
            yield f"it took {seconds:.0f} s in {len(self.peaks)} children"
        for directory in (self.home / "scratch", self.temporary):
            if directory.exists() and (left := list(directory.iterdir())):
                yield f"left in {directory.name}: {[path.name for path in left]}"
                _clear(left)
        unknown = {path.name for path in self.home.iterdir()} - KNOWN
        if unknown:
            yield f"left in the home directory: {sorted(unknown)}"


LIMITED = {"max_pixels": "50_000_000", "max_duration": "3", "max_pages": "1000", "max_archive_entries": "10_000"}
LIMITED |= {"max_unpacked_size": "1_073_741_824", "max_archive_ratio": "100", "encrypted": "false"}

#: What may be in the home directory.
KNOWN = {
    "media",
    "scratch",
    "secret-key",
    "profiles.toml",
    "windlass.sqlite3",
    "windlass.sqlite3-wal",
    "windlass.sqlite3-shm",
    migrated_home.RECORD,
}


@contextmanager
def sandbox_trial(directory: Path, step_seconds: float) -> Iterator[SandboxTrial]:
    """Set up Django on a home of its own. Once in a process, before anything else did."""
    home, temporary, baits = (directory / name for name in ("home", "tmp", "canary"))
    for each in (home, temporary, baits):
        each.mkdir()
    os.environ.update(
        WINDLASS_HOME=str(home),
        WINDLASS_PROFILES=str(home / "profiles.toml"),
        DJANGO_SETTINGS_MODULE="windlass.settings",
        DURABILITY="os",
        JOB_MAX_ATTEMPTS="1",
        STEP_TIMEOUT_SECONDS=str(step_seconds),
        LONG_STEP_TIMEOUT_SECONDS=str(step_seconds),
        STEP_MEMORY_MB=str(STEP_MEMORY_MB),
        LOG_LEVEL="error",
    )
    migrated_home.prepare(home)
    import django

    django.setup()
    _write_profiles(home / "profiles.toml")
    with Canary(baits) as canary:
        yield _open(home, temporary, canary, step_seconds)


def _open(home: Path, temporary: Path, canary: Canary, step_seconds: float) -> SandboxTrial:
    from windlass.jobs import notify
    from windlass.processing import worker_sandbox
    from windlass.processing.sandbox import client

    notify.notify_workers = lambda *_: None  # nobody listens here
    client.ENVIRONMENT["TMPDIR"] = str(temporary)  # so that a temporary file would be seen
    worker_sandbox.sandbox().start()
    made = SandboxTrial(home, temporary, canary, sandbox_pid(worker_sandbox.sandbox()), step_seconds)
    result_or_raise, timed_out = client.result_or_raise, client.timed_out

    def watched(limits: Any, ended: dict[str, Any] | None, answer: Any) -> Any:
        made.peaks.append(peak_memory(ended, made.parent))
        return result_or_raise(limits, ended, answer)

    def watched_late(limits: Any) -> Any:
        made.peaks.append(peak_memory(None, made.parent))
        return timed_out(limits)

    client.result_or_raise, client.timed_out = watched, watched_late
    _listen_to_log(made.notes)
    return made


def _listen_to_log(notes: list[str]) -> None:
    """Print nothing; collect the notes about step errors that only the log gets."""
    import structlog

    def keep(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
        notes.extend(note for note in event.get("notes", ()) if note)
        if error := event.get("exc_info") and sys.exc_info()[1]:
            notes.append(repr(error))
        raise structlog.DropEvent

    structlog.configure(processors=[keep], cache_logger_on_first_use=False)


def _write_profiles(path: Path) -> None:
    """``everything``: all switches on, limits as they come. ``boundless``: without limits, so that all is reached;
    ``limited``: with those that a site might set. Both recognise no text, which takes seconds."""
    from windlass.files.profiles import Profile

    switches = {each.name: "true" for each in fields(Profile) if each.type in ("bool", bool)}
    switches |= {"check_mismatch": "false"}
    none = {each.name: "0" for each in fields(Profile) if each.name.startswith("max_") and each.name != "max_size"}
    quick = switches | {"ocr": "false"}
    tables = {"everything": switches, "limited": quick | LIMITED, "boundless": quick | none}
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) for name, keys in tables.items()
    ]
    path.write_text("\n".join(lines))


def asset_steps(asset: Any) -> list[Any]:
    from windlass.files.api import StepRun

    return list(StepRun.objects.filter(file=asset))


def sandbox_pid(sandbox: Any) -> int:
    process = sandbox._process
    return process.pid if process is not None and process.poll() is None else 0


def peak_memory(ended: dict[str, Any] | None, parent: int) -> int:
    """What the child that has just answered took at most (bytes): its parent's word, or while it lives the kernel's."""
    if ended and "peak_memory" in ended:
        return int(ended["peak_memory"])
    return max(map(resident_memory, _children(parent)), default=0)


def resident_memory(pid: int) -> int:
    """The most that a process had in memory so far (bytes). A child begins with what it shares with its parent, and its
    own comes on top of that."""
    status = Path(f"/proc/{pid}/status")
    with suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(match[1]) * 1024 if match else 0
    return 0


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def children_of(pid: int) -> list[int]:
    """Child processes, dead ones that nobody reaped included, but for the one that waits for the next file
    (docs/decisions/0135-prepared-child.md). The last child may be about to be reaped."""
    found: list[int] = []
    for _ in range(100):
        found = _children(pid)
        if len(found) <= 1:
            return []
        time.sleep(0.05)
    return found


def _shows(data: bytes, colour: tuple[int, ...]) -> bool:
    """Whether any pixel comes close to the colour."""
    import pyvips

    picture = pyvips.Image.new_from_buffer(data, "").colourspace("srgb")[0:3]
    near = (picture - list(colour)).abs() < 16
    return bool(near.bandand().max())


def _clear(paths: list[Path]) -> None:
    for path in paths:
        if path.is_file():
            path.unlink()


def _with(ending: Ending, breach: str) -> Ending:
    return Ending(**{**vars(ending), "breaches": [*ending.breaches, breach]})
