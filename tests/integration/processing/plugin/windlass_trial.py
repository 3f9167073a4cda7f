"""A plug-in with one step that does what the file's name tells it: ``trial crash.txt`` crashes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import time
from typing import Any

from windlass.processing.contract import (
    About,
    Makes,
    Owed,
    PermanentError,
    Quarantine,
    Rejection,
    StepContext,
    StepResult,
    TransientError,
    Unavailable,
    Unreadable,
)
from windlass.processing.sandbox.channel import pack

PREPARED_BY = 0


class Trial:
    about = About(
        name="trial",
        stage="describe",
        title="Trying it out",
        order=90,
        isolated=True,
        weight=8,
        mime_types=("text/plain", "image/jpeg"),
        gives={"trial": "what the trial found"},
        makes=(Makes("trial", "text", ("text/plain",), sized=True),),
    )

    def run(self, context: StepContext) -> StepResult:
        command, *words = context.facts["filename"].rpartition(".")[0].removeprefix("trial ").split()
        return getattr(self, f"do_{command}", _nothing)(context, *words)

    def do_crash(self, context: StepContext) -> StepResult:
        os.kill(os.getpid(), signal.SIGSEGV)
        return StepResult()

    def do_sleep(self, context: StepContext, seconds: str) -> StepResult:
        time.sleep(float(seconds))
        return StepResult({"trial": "rested"})

    def do_eat(self, context: StepContext) -> StepResult:
        eaten = []
        while True:
            eaten.append(bytearray(16 * 1024 * 1024))

    def do_write(self, context: StepContext) -> StepResult:
        while True:
            context.add_rendition("trial", "text/plain", bytes(16 * 1024 * 1024))

    def do_look(self, context: StepContext) -> StepResult:
        """Without a look into /proc, which is closed."""
        prctl = ctypes.CDLL(None).prctl
        found: dict[str, Any] = {
            "environment": dict(os.environ),
            "files": [_kind(number) for number in range(64) if _kind(number)],
            "group": os.getpgid(0) == os.getpid(),
            "session": os.getsid(0) == os.getppid(),
            "no_new_privileges": prctl(39, 0, 0, 0, 0),  # PR_GET_NO_NEW_PRIVS
            "dumpable": prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
            "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
            "memory": resource.getrlimit(resource.RLIMIT_AS)[1],
        }
        return StepResult({"trial": found})

    def do_progress(self, context: StepContext) -> StepResult:
        for percent in (10, 90, 40, 60, 100):
            context.report(percent)
            time.sleep(0.3)
        return StepResult()

    def do_lie(self, context: StepContext) -> StepResult:
        return StepResult({"checksum": "0" * 64})

    def do_script(self, context: StepContext) -> StepResult:
        return StepResult(renditions=(context.add_rendition("trial", "text/html", b"<script>"),))

    def do_beyond(self, context: StepContext) -> StepResult:
        made = context.add_rendition("trial", "text/plain", b"short")
        return StepResult(renditions=(type(made)(made.name, made.mime_type, 0, 5000),))

    def do_babble(self, context: StepContext) -> StepResult:
        return StepResult({"trial": ["word " * 100] * 100_000})

    def do_nul(self, context: StepContext) -> StepResult:
        return StepResult({"trial": "a\x00b\ud800c"}, detail="d\x00e")

    def do_who(self, context: StepContext) -> StepResult:
        return StepResult({"trial": os.getpid()})

    def do_unreadable(self, context: StepContext) -> StepResult:
        raise Unreadable("The trial cannot be read.")

    def do_fault(self, context: StepContext) -> StepResult:
        raise ZeroDivisionError

    def do_twice(self, context: StepContext) -> StepResult:
        """Answers over the child's channel by itself, and then once more."""
        os.write(4, pack({"kind": "result"}) * 2)
        return StepResult()

    def prepare(self) -> None:
        global PREPARED_BY
        PREPARED_BY = os.getpid()

    def do_prepared(self, context: StepContext) -> StepResult:
        return StepResult({"trial": os.getppid() == PREPARED_BY})

    def do_sizes(self, context: StepContext, *widths: str) -> StepResult:
        names = ["trial", *(f"trial-{width}" for width in widths)]
        return StepResult(renditions=tuple(context.add_rendition(name, "text/plain", b"ahoy") for name in names))

    def do_again(self, context: StepContext) -> StepResult:
        raise TransientError("The tide is out.")

    def do_regicide(self, context: StepContext) -> StepResult:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
        return StepResult()

    def do_orphan(self, context: StepContext) -> StepResult:
        """Leaves a process behind, in a session of its own."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
                time.sleep(600)
            os._exit(0)
        return StepResult({"trial": int(os.read(reading, 20))})


class Harbour:
    """A step that talks to a service, whose moods stand in the environment: the tests' stand-in for a scanner."""

    about = About(name="harbour", stage="intake", title="Asking the harbour", order=60, isolated=False)

    def available(self) -> bool:
        return os.environ.get("HARBOUR") != "optional"

    def run(self, context: StepContext) -> StepResult:
        match os.environ.get("HARBOUR") if context.facts["filename"].startswith("harbour") else None:
            case "required":
                raise Unavailable("Waiting for the harbour master.", retry_after=40)
            case "optional":
                raise Owed("The harbour master is away.")
            case "plague":
                return StepResult(verdict=Quarantine("There is plague on board.", "Yersinia.Pestis-1"))
            case "smuggler":
                return StepResult(verdict=Rejection("contraband", "There is rum below deck.", 0, 12))
            case "wreck":
                raise PermanentError("The harbour is silted up.")
        return StepResult(detail="Come in")


class Spyglass:
    """A step whose library comes with an extra, and is not there unless a test puts it there."""

    about = About(
        name="spyglass",
        stage="describe",
        title="Looking through the spyglass",
        order=95,
        isolated=True,
        mime_types=("image/gif",),
        gives={"seen": "what the spyglass showed"},
        libraries=("windlass_trial_lens.glass",),
        extra="optics",
    )

    def run(self, context: StepContext) -> StepResult:
        import windlass_trial_lens.glass as glass

        return StepResult({"seen": glass.LAND})


class Voyage:
    """A long step: its time and its output are bounded otherwise than those of others."""

    about = About(
        name="voyage",
        stage="derive",
        title="Sailing round the world",
        order=95,
        isolated=True,
        mime_types=("image/png",),
        makes=(Makes("logbook", "text", ("text/plain",)),),
        long=True,
    )

    def run(self, context: StepContext) -> StepResult:
        command, *words = context.facts["filename"].rpartition(".")[0].split()
        if command != "voyage" or not words:
            return StepResult(detail="Stayed at home")
        seconds, megabytes = map(float, words)
        for percent in range(101):
            context.report(percent)
            time.sleep(seconds / 101)
        log = context.add_rendition("logbook", "text/plain", bytes(int(megabytes * 2**20)))
        return StepResult(renditions=(log,), detail=f"child {os.getpid()}")


def _nothing(context: StepContext, *words: str) -> StepResult:
    return StepResult()


def _kind(number: int) -> str | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    kinds = {stat.S_ISREG: "file", stat.S_ISSOCK: "socket", stat.S_ISCHR: "device", stat.S_ISDIR: "directory"}
    return next((name for is_one, name in kinds.items() if is_one(found.st_mode)), "other")


class Absent:
    """A step whose author forgot what it is: it must be left out and take nothing with it."""
