"""What a reason shown to users must be: a sentence of ours, without a library's words, class names or bare figures.

``observe`` has every refusal and failure of a test run looked at: problems as they are made in this process or come
from a server, and how steps and files end. ``flaws`` says what is wrong with one reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Names that libraries, the interpreter and the system call things by. Users have not heard of any.
_FOREIGN = re.compile(
    r"\bvips\w*|\bpdfium\w*|\bPdfiumError|\blibmagic|\blibav\w*|\bffmpeg\b|\bexpat\b|\bzlib\b|\blzma\b|\bolefile|\bmutagen"
    r"|\bpsycopg|\bboto(core|3)\b|\burllib|\bhttpx\b|\bcelery\b|\bkombu\b|\bsqlite3\.|\bNoneType\b|\bTraceback\b|\berrno\b"
    r"|object at 0x|invalid literal|expecting value|list index|codec can't|not well-formed \(invalid|unpack requires"
    r"|no such file or directory|broken pipe|\bsys\.|<class |\bstrerror\b|\bSIG(SEGV|ABRT|KILL|BUS|SYS|XCPU|XFSZ)\b",
    re.IGNORECASE,
)
_CLASS = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning)\b|\bVips\w+|\bForeignLoad\w*")
_CALL = re.compile(r"\b[a-z_]+(?:\.[a-z_]+)*\(\)")
_REPR = re.compile(r"\bb'|\bb\"|\{'|\\x[0-9a-f]{2}")
#: Words that are no units.
_WORDS = "a|and|are|as|at|but|for|in|is|it|more|of|or|than|the|to|was|were|which"
#: A figure of six digits or more that stands alone: neither a unit behind it nor a word before it that says what it
#: counts. Ids, digests, versions and dates are no figures.
_BARE = re.compile(
    rf"(?<![\w.,:/=+#-])\d{{6,20}}(?!\d)(?:\.\d+)?(?![\w:/+-]|\.\w|,\d)(?! ?(?!(?:{_WORDS})\b)[a-z°%µ])", re.IGNORECASE
)
_COUNTED = re.compile(
    r"\b(bytes?|chunks?|parts?|lines?|ports?|rows?|revisions?|Upload-Length of|length)\s*$", re.IGNORECASE
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”")
_ENDS = (".", "!", "?", "…", ")", '"', "'")


def flaws(reason: str) -> list[str]:
    """Return the flaws of a reason; quoted text of the client is not checked."""
    said = _QUOTED.sub("''", reason)
    found = [f"foreign words: {match[0]}" for match in _FOREIGN.finditer(said)]
    found += [f"a class name: {match[0]}" for match in _CLASS.finditer(said)]
    found += [f"a function: {match[0]}" for match in _CALL.finditer(said)]
    found += [f"a representation: {match[0]}" for match in _REPR.finditer(said)]
    found += [
        f"a figure without a unit: {match[0]}"
        for match in _BARE.finditer(said)
        if not _COUNTED.search(said[: match.start()])
    ]
    if not reason[:1] or not reason[0].isprintable() or not reason.rstrip().endswith(_ENDS):
        found.append("no sentence")
    return found


def reasons_in(document: Any) -> Iterator[str]:
    """The reasons in a reply of the server: a problem's, and a file record's or status's."""
    if not isinstance(document, Mapping):
        return
    if str(document.get("type", "")).startswith("/problems/") and isinstance(document.get("detail"), str):
        yield document["detail"]
    if isinstance(document.get("rejection"), Mapping):
        yield str(document["rejection"].get("detail", ""))
    if document.get("status") in ("REJECTED", "FAILED", "QUARANTINED") and document.get("message"):
        yield str(document["message"])
    steps = document.get("steps")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and step.get("state") == "failed":
            yield str(step.get("detail", ""))


def observe(seen: set[str]) -> None:
    """From now on every reason goes into ``seen`` as well. What is done does not change."""
    import httpx

    from windlass.kernel.problem_types import Problem

    make, read = Problem.__init__, httpx.Response.json

    def made(self: Problem, detail: str, **more: Any) -> None:
        seen.add(detail)
        make(self, detail, **more)

    def was_read(self: httpx.Response, **more: Any) -> Any:
        document = read(self, **more)
        seen.update(reasons_in(document))
        return document

    Problem.__init__ = made  # type: ignore[method-assign]
    httpx.Response.json = was_read  # type: ignore[method-assign]


def observe_records(seen: set[str]) -> None:
    """The same for how steps and files end in this process. Needs Django's models."""
    from windlass.files.api import FileStatus, ProcessingRecord, StepOutcome, StepState

    end, become = ProcessingRecord.end_step, ProcessingRecord.set_status

    def ended(self: ProcessingRecord, outcome: StepOutcome, overall: int | None = None) -> None:
        if outcome.state == StepState.FAILED:
            seen.add(outcome.detail)
        end(self, outcome, overall)

    def became(self: ProcessingRecord, target: FileStatus, **values: Any) -> None:
        if values.get("message"):
            seen.add(values["message"])
        become(self, target, **values)

    ProcessingRecord.end_step = ended  # type: ignore[method-assign]
    ProcessingRecord.set_status = became  # type: ignore[method-assign]
