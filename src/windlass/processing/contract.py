"""The contract of processing steps. Authors of steps need this module and nothing else of Windlass.

A step is registered by an entry point of the group ``windlass.steps`` (``name = "module:Class"``). Its ``About`` is
data, so that the plan can be made and printed without running anything. Its class is loaded in every process; its
libraries are not: they are named in ``About.libraries`` and imported by the sandbox's parent alone, and a step imports
them inside its functions.

A step gets a readable file and the facts so far, and returns a result. It uses neither database nor broker, knows no
other step, and may be run again at any time: after a crash it starts from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, runtime_checkable

from windlass.processing.scanners.contract import ScanResult

STAGES = ("intake", "describe", "derive")

#: Facts by name; JSON values. Present from the start: ``filename``, ``size``, ``metadata``, ``declared_mime_type``,
#: ``expected_sha256``, ``checksum`` (if known). The others come from earlier steps.
Facts = Mapping[str, Any]


class StepError(Exception):
    """A step failed. The message is for the file's owner: a sentence that says what the failure means for the file.

    It names no path, secret, class or library; a library's own error belongs into ``__cause__``.
    """


class TransientError(StepError):
    """The same step may succeed later: the job is retried with a backoff, up to JOB_MAX_ATTEMPTS times."""


class Unavailable(TransientError):
    """A service that the step needs is unavailable. For steps outside the sandbox.

    The file is pending again, with this message, and the step is retried in ``retry_after`` seconds, as often as
    needed: no attempt is used up. ``service``: which of ``About.services`` failed; empty if that is not known.
    """

    def __init__(self, message: str, retry_after: float = 30.0, service: str = "") -> None:
        super().__init__(message)
        self.retry_after, self.service = retry_after, service


class DiskFull(Unavailable):
    """A disk of the server is full until somebody frees space."""

    def __init__(self) -> None:
        super().__init__("The server has no room left for what is made of this file.", retry_after=10.0)


#: Deprecated alias for steps of plug-ins.
NoRoom = DiskFull


class Owed(StepError):
    """The step is postponed, with this reason, and the file's processing continues. For steps outside the sandbox.

    It is backfilled once the step is ``Available`` again, while the file is served; a verdict then still counts.
    """


class PermanentError(StepError):
    """A retry cannot succeed. In the gate the file fails; elsewhere the step alone has failed, with this reason."""


class Unreadable(PermanentError):
    """The file is damaged, or is not of the type that it seemed to have."""


class Cancelled(Exception):
    """The result is no longer wanted: the file was released or deleted, or the job's lease is lost. Do not catch it."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rule refuses the file. ``limit`` and ``actual`` are the figures, as JSON values."""

    rule: str
    detail: str
    limit: Any = None
    actual: Any = None

    def document(self) -> dict[str, Any]:
        return {"rule": self.rule, "detail": self.detail, "limit": self.limit, "actual": self.actual}


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The file is malware: it is quarantined and never served. ``signature`` is the scanner's name for it."""

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
    """Announces a rendition that a step may make, and its possible types. Others are refused.

    ``sized``: the step may also make it in further widths (pixels), each named ``{name}-{width}``.
    ``numbered``: the step makes several instead, up to this many, named ``{name}-1`` and so on.
    """

    name: str
    kind: str
    mime_types: tuple[str, ...]
    sized: bool = False
    numbered: int = 0


@dataclass(frozen=True, slots=True)
class MadeRendition:
    """A rendition in the step's output, at ``offset`` for ``length`` bytes."""

    name: str
    mime_type: str
    offset: int
    length: int
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step found. ``detail`` is one line for people; a verdict ends the stage.

    ``skipped``: the step does not apply to this file, such as a thumbnail of a locked document; ``detail`` says why.
    """

    facts: Facts = field(default_factory=dict)
    renditions: tuple[MadeRendition, ...] = ()
    verdict: Verdict | None = None
    detail: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Describes a step before it runs.

    - ``order`` sorts steps within their stage; ``weight`` is the step's share of the stage's progress.
    - ``isolated``: the step parses the file and runs in the sandbox. Other steps must not parse it.
    - ``wanted_by``: the profile's switch that turns the step on; None if it is always on.
    - ``mime_types``: the types that the step takes, ignored in intake; ``text/*`` stands for every type whose content
      is plain text (``media_types.is_plain_text``).
    - ``gives`` (each fact with its description) and ``makes`` are all that its result may contain.
    - ``libraries`` are imported in the sandbox's parent. If they are installed with an extra of the package only,
      ``extra`` names it; without them the step is postponed.
    - ``services``: names of the services that a step outside the sandbox calls. Each has a circuit breaker,
      ``service.NAME``: after several runs in a row that ended in ``Unavailable``, no step that names it is run for a
      while, and its files wait.
    - ``long``: the step gets LONG_STEP_TIMEOUT_SECONDS and LONG_STEP_OUTPUT_MB, and reports its progress.
    - ``follows``: names of steps; this one is planned only with one of them, and is run again when a postponed one of
      them has been backfilled.
    - ``gate``: the file is not served before the step has passed it. Every step of intake is part of the gate.
    - ``also``: the step also takes a file for its further types, such as a picture that is a zip archive too.
    - ``least_level``: the worst service level at which the step is run; below it, the step is postponed. "full" for
      steps that take long, "degraded", "basic" or "maintenance" (always run). Empty: "full" if
      ``long``, else "degraded" in derive and "maintenance" elsewhere. Steps of the gate are always run.
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
    services: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    long: bool = False
    gate: bool = False
    also: bool = False
    least_level: str = ""

    @property
    def runs_down_to(self) -> str:
        """``least_level``, or its default."""
        if self.least_level:
            return self.least_level
        if self.gate or self.stage == "intake":
            return "maintenance"
        if self.long:
            return "full"
        return "degraded" if self.stage == "derive" else "maintenance"


def _no_lookup(_: str) -> str | None:
    raise PermanentError("A step in the sandbox cannot look up other files.")


def _no_scan() -> ScanResult:
    raise PermanentError("A step in the sandbox cannot ask the malware scanner.")


def _no_index() -> IndexedText | None:
    raise PermanentError("A step in the sandbox cannot index texts.")


def _no_vectors() -> int:
    raise PermanentError("A step in the sandbox cannot make vectors of texts.")


def _no_graph() -> ExtractedEntities | None:
    raise PermanentError("A step in the sandbox cannot store entities.")


def _no_report(_: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True, slots=True)
class IndexedText:
    """What ``StepContext.index_text`` indexed. ``language``: ISO 639-1, empty if unknown."""

    passages: int
    language: str


@dataclass(frozen=True, slots=True)
class ExtractedEntities:
    """What ``StepContext.extract_entities`` found. ``is_cut``: there was more than is stored of one file."""

    entities: int
    relations: int
    is_cut: bool


@dataclass(slots=True)
class StepContext:
    """What a step works with. ``file`` is open for reading at its start and can seek.

    ``report`` takes the step's progress, 0 to 100; it may raise Cancelled. Five functions work outside the sandbox
    only: ``find_original`` returns the id of an earlier file of the same owner with this SHA-256; ``scan`` returns the
    malware scanner's result for this file, and raises Unavailable, TransientError; ``index_text`` lets the search find
    the text that an earlier step extracted, once the step's result is saved, and returns None if there is no text;
    ``extract_entities`` does the same for the graph of entities, and raises Owed; ``embed_text`` makes the vectors of
    the indexed text, returns of how many passages, and raises Unavailable.
    """

    file: BinaryIO
    facts: Facts
    profile: Mapping[str, Any]
    output: BinaryIO | None = None
    report: Callable[[int], None] = _no_report
    find_original: Callable[[str], str | None] = _no_lookup
    scan: Callable[[], ScanResult] = _no_scan
    index_text: Callable[[], IndexedText | None] = _no_index
    embed_text: Callable[[], int] = _no_vectors
    extract_entities: Callable[[], ExtractedEntities | None] = _no_graph

    def add_rendition(
        self, name: str, mime_type: str, data: bytes, *, width: int | None = None, height: int | None = None
    ) -> MadeRendition:
        """Append a rendition to the output; return its description for the result."""
        if self.output is None:
            raise PermanentError("This step was not announced to make renditions.")
        offset = self.output.tell()
        self.output.write(data)
        return MadeRendition(name, mime_type, offset, len(data), width, height)


class Step(Protocol):
    """One processing step. Instances are shared by threads: keep nothing of a file in ``self``."""

    @property
    def about(self) -> About: ...

    def run(self, context: StepContext) -> StepResult:
        """Raises TransientError, PermanentError (Unreadable for a damaged file). Other errors count as permanent."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """An isolated step that loads codecs, tables or modules ahead, before the sandbox's children are locked down."""

    def prepare(self) -> None:
        """Called once in the sandbox's parent, after the step's libraries are imported.

        It must start no thread and read neither users' files nor secrets. An exception is logged, and the step runs
        unprepared.
        """
        ...


@runtime_checkable
class Available(Protocol):
    """A step that may be postponed, because a service that it needs may be away."""

    def available(self) -> bool:
        """Return whether postponed work may succeed now. Called every few seconds while there is any; must be quick."""
        ...


@contextmanager
def damaged(*errors: type[BaseException], what: str) -> Iterator[None]:
    """Raise Unreadable for these errors of a library: ``with damaged(PdfiumError, what="PDF"): …``.

    The library's own error is the cause; it is logged and not shown to the owner.
    """
    try:
        yield
    except errors as error:
        raise Unreadable(f"The {what} cannot be read: it is damaged, or of a kind that is not known here.") from error
