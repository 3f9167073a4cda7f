"""A package with third-party steps, found by entry point."""

from __future__ import annotations

import os
from pathlib import Path

MODULE = '''
import os
import signal
import socket
import time

from windlass.processing.contract import About, StepResult, TransientError, Unavailable

SLEEPS = 3.0


class Slow:
    """Is at work for a while on every JPEG, long after its thumbnail was made."""

    about = About(
        name="slow", stage="derive", title="Taking its time", order=90, isolated=True, mime_types=("image/jpeg",)
    )

    def run(self, context):
        time.sleep(SLEEPS)
        return StepResult()


class Poison:
    """What a file does that makes a parser crash: in the gate, and every time."""

    about = About(name="poison", stage="intake", title="Looking closer", order=35, isolated=True)

    def run(self, context):
        if context.file.read(6) == b"POISON":
            os.kill(os.getpid(), signal.SIGKILL)
        return StepResult()


class Stubborn:
    """Fails every time on files that begin with STUBBORN, until the file exists that the environment names."""

    about = About(name="stubborn", stage="describe", title="Failing", order=95, isolated=False)

    def run(self, context):
        if context.file.read(8) == b"STUBBORN" and not os.path.exists(os.environ["HAWSER_MENDED"]):
            raise TransientError("Not mended yet.")
        return StepResult()


class Gated:
    """Takes as long as the file is missing that the environment names, on files that begin with GATED."""

    about = About(name="gated", stage="describe", title="Waiting", order=93, isolated=False)

    def run(self, context):
        while context.file.read(5) == b"GATED" and not os.path.exists(os.environ["HAWSER_MENDED"]):
            context.file.seek(0)
            time.sleep(0.05)
        return StepResult()


class Faulty:
    """Raises what no step should, on files that begin with FAULTY."""

    about = About(name="faulty", stage="describe", title="Failing", order=94, isolated=False)

    def run(self, context):
        if context.file.read(6) == b"FAULTY":
            secret_of_the_owner = context.file.read()
            name = context.facts["filename"]
            raise RuntimeError(f"cannot open https://user:swordfish@example.org/{name}?token=abracadabra\\nrow: sesame")
        return StepResult()


class Dependent:
    """Calls a service for files that begin with ORACLE."""

    about = About(
        name="dependent", stage="describe", title="Asking", order=93, isolated=False, services=("oracle",)
    )

    def run(self, context):
        if context.file.read(6) == b"ORACLE":
            try:
                socket.create_connection(("127.0.0.1", int(os.environ["HAWSER_SERVICE_PORT"])), 2).close()
            except OSError as error:
                raise Unavailable("The oracle is away; the file waits for it.", retry_after=0.2) from error
        return StepResult()
'''
#: What files begin with on which ``Poison`` and ``Stubborn`` fail.
POISON_PREFIX, STUBBORN_PREFIX = b"POISON", b"STUBBORN"
#: The entry point of ``Dependent``, for tests that want it.
DEPENDENT = "dependent = hawser_steps:Dependent\n"
#: The entry point of ``Faulty``, for tests that want it.
FAULTY = "faulty = hawser_steps:Faulty\n"
#: The entry point of ``Gated``, for tests that want it.
GATED = "gated = hawser_steps:Gated\n"
#: The entry point of ``Stubborn``, for tests that want it.
STUBBORN = "stubborn = hawser_steps:Stubborn\n"
ENTRY_POINTS = "[windlass.steps]\nslow = hawser_steps:Slow\npoison = hawser_steps:Poison\n"
METADATA = "Metadata-Version: 2.1\nName: hawser-steps\nVersion: 1.0\n"


def install(directory: Path, more: str = "") -> dict[str, str]:
    """Write the package into ``directory``, with ``more`` entry points; returns the environment variables that install
    it."""
    described = directory / "hawser_steps-1.0.dist-info"
    described.mkdir(parents=True)
    (directory / "hawser_steps.py").write_text(MODULE)
    (described / "METADATA").write_text(METADATA)
    (described / "entry_points.txt").write_text(ENTRY_POINTS + more)
    path = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}
