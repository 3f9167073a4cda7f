"""What a processing step must be. Authors of steps need this module and nothing else of Windlass.

A step is announced by an entry point of the group ``windlass.steps`` (``name = "module:Class"``). What is known of it
before it runs is data, its ``About``, so that the plan can be made and printed without running anything. Its class is
loaded in every process, its libraries are not: they are named in ``About.libraries``, imported by the sandbox's parent
alone, and a step imports them inside its functions.

A step gets a readable file and the facts so far, and gives a result. It touches neither database nor broker, knows no
other step, and may be run again at any time: after a crash it starts afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, runtime_checkable

from windlass.processing.scanners.contract import ScanResult

STAGES = ("intake", "describe", "derive")

#: Values are what JSON can say. What the client declared and the receiver saw is there from the start: ``filename``,
#: ``size``, ``metadata``, ``declared_mime_type``, ``expected_sha256``, ``checksum`` (if known); the rest comes from
#: earlier steps.
Facts = Mapping[str, Any]


class StepError(Exception):
    """A step could not be done. The message is shown to the file's owner: a sentence of ours that says what it means
    for the file. It names no path, secret, class or library; what a library said belongs into ``__cause__``."""


class TransientError(StepError):
    """The same step may succeed later: the job is tried again after a while, and gives up after some attempts."""


class Unavailable(TransientError):
    """A service that the step talks to is away. No attempt is used up: the file is pending again, with this message,
    and the step is tried for as long as it takes, next in ``retry_after`` seconds. For steps outside the sandbox."""

    def __init__(self, message: str, retry_after: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoRoom(Unavailable):
    """A disk of the server is full, and stays so until somebody makes room."""

    def __init__(self) -> None:
        super().__init__("The server has no room left for what is made of this file.", retry_after=10.0)


class Owed(StepError):
    """The step is left for later, with this reason, and the file goes on without it. It is made good once the step is
    ``Available`` again, while the file is served; a verdict then still counts. For steps outside the sandbox."""


class PermanentError(StepError):
    """Trying again is of no use. In the gate the file fails; elsewhere the step is left out, with the reason."""


class Unreadable(PermanentError):
    """The file is damaged, or is not what it seemed to be."""


class Cancelled(Exception):
    """Nobody wants the result any more: the file was withdrawn, or another worker has the job. Let it pass through."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rule says no to the file. ``limit`` and ``actual`` are the figures, as JSON values."""

    rule: str
    detail: str
    limit: Any = None
    actual: Any = None

    def document(self) -> dict[str, Any]:
        return {"rule": self.rule, "detail": self.detail, "limit": self.limit, "actual": self.actual}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The file is malware: it is kept apart and never served. ``signature`` is the scanner's name for it."""

    detail: str
    signature: str = ""

    def document(self) -> dict[str, Any]:
        detail = self.detail
        if self.signature and self.signature not in detail:
            detail = f"{detail.rstrip('.')}: {self.signature}."
        return {"rule": "malware", "detail": detail, "limit": None, "actual": self.signature or None}


Verdict = Rejection | Quarantine


@dataclass(frozen=True, slots=True)
class Makes:
    """A rendition that a step may make, and the types it may have. What a step was not announced to make is refused.

    ``sized``: it may come in further widths (pixels), each named ``{name}-{width}``.
    """

    name: str
    kind: str
    mime_types: tuple[str, ...]
    sized: bool = False


@dataclass(frozen=True, slots=True)
class MadeRendition:
    """Where in the step's output a rendition lies (bytes), and what it is."""

    name: str
    mime_type: str
    offset: int
    length: int
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step found. ``detail`` is one line for people; a verdict ends the stage.

    ``skipped``: there was nothing to do for this file, such as a picture of a locked document; ``detail`` says why.
    """

    facts: Facts = field(default_factory=dict)
    renditions: tuple[MadeRendition, ...] = ()
    verdict: Verdict | None = None
    detail: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is known of a step before it runs.

    ``order`` sorts steps within their stage; ``weight`` is its share of the stage's progress. ``isolated`` steps parse
    the file and run in the sandbox; others must not parse it. ``wanted_by`` names the profile's switch that asks for
    the step; ``mime_types`` are looked at after intake only; ``text/*`` among them stands for every type whose content
    is plain text (``media_types.is_plain_text``). ``gives`` (each fact and what it says) and ``makes`` are all that it
    may answer with. ``libraries`` are imported ahead, in the sandbox's parent; where they come with an
    extra of the package only, ``extra`` names it, and without them the step is owed. A ``long`` step is given more time
    (``LONG_STEP_TIMEOUT_SECONDS``) and more room for its output (``LONG_STEP_OUTPUT_MB``), and reports its progress.
    The file is not served before a step that is part of the ``gate`` has said yes; every step of intake is.
    ``also``: the step takes a file for its further types, too, such as a picture for the zip file behind it.
    """

    name: str
    stage: str
    title: str
    order: int
    isolated: bool
    weight: int = 1
    mime_types: tuple[str, ...] = ("*/*",)
    wanted_by: str | None = None
    gives: Mapping[str, str] = field(default_factory=dict)
    makes: tuple[Makes, ...] = ()
    libraries: tuple[str, ...] = ()
    extra: str | None = None
    long: bool = False
    gate: bool = False
    also: bool = False


def _no_lookup(_: str) -> str | None:
    raise PermanentError("A step in the sandbox cannot look up other files.")


def _no_scan() -> ScanResult:
    raise PermanentError("A step in the sandbox cannot ask the malware scanner.")


def _no_report(_: int) -> None:
    """For callers who do not follow the progress."""


@dataclass(slots=True)
class StepContext:
    """What a step works with. ``file`` is open for reading at its beginning and can seek.

    ``report`` takes the step's progress, 0 to 100; it may raise Cancelled. ``find_original`` answers, to steps outside
    the sandbox, with the id of an earlier file of the same owner with this SHA-256; ``scan``, to them too, with what
    the malware scanner says of this file: it raises Unavailable, TransientError.
    """

    file: BinaryIO
    facts: Facts
    profile: Mapping[str, Any]
    output: BinaryIO | None = None
    report: Callable[[int], None] = _no_report
    find_original: Callable[[str], str | None] = _no_lookup
    scan: Callable[[], ScanResult] = _no_scan

    def add_rendition(
        self, name: str, mime_type: str, data: bytes, *, width: int | None = None, height: int | None = None
    ) -> MadeRendition:
        """Write a rendition behind what is already in the output; returns what belongs into the result."""
        if self.output is None:
            raise PermanentError("This step was not announced to make renditions.")
        offset = self.output.tell()
        self.output.write(data)
        return MadeRendition(name, mime_type, offset, len(data), width, height)


class Step(Protocol):
    """One step of processing. Instances are shared by threads: keep nothing of a file in ``self``."""

    @property
    def about(self) -> About: ...

    def run(self, context: StepContext) -> StepResult:
        """Raises TransientError, PermanentError (Unreadable for a damaged file). Anything else counts as the latter."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """An isolated step that has something to make ready before it is bound: codecs, tables, modules that load late."""

    def prepare(self) -> None:
        """Called once in the sandbox's parent, after its libraries are imported. It starts no thread, and reads neither
        files of users nor secrets. What it raises is logged, and the step runs unprepared."""
        ...


@runtime_checkable
class Available(Protocol):
    """A step that may be owed, because a service that it talks to may be away."""

    def available(self) -> bool:
        """Whether owed work is worth another try. Asked every few seconds while there is any; it must not take long."""
        ...


@contextmanager
def damaged(*errors: type[BaseException], what: str) -> Iterator[None]:
    """A library's own error means that the file is damaged: ``with damaged(PdfiumError, what="PDF"): …``.

    What the library said is the cause of the error; it goes to the log (``outcome.log_notes``), not to the owner.
    """
    try:
        yield
    except errors as error:
        raise Unreadable(f"The {what} cannot be read: it is damaged, or of a kind that is not known here.") from error
