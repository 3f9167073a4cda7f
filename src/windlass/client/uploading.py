"""One upload in tus 1.0: create it, send bytes, and after any interruption ask the server where it stands.

The conversation is a loop over what is known. No URL: create. A URL but no offset: ask (HEAD). Both: send (PATCH).
Every answer changes what is known, and an interruption forgets the offset.
"""

from __future__ import annotations

import contextlib

from windlass.client.commands import Answer, Flow, Interrupted, Outcome, Pause, Request, call, send
from windlass.client.errors import BadAnswer, GaveUp, problem_of, refusal
from windlass.client.exchange import sentence
from windlass.client.memory import Slot
from windlass.client.options import Wanted
from windlass.client.patience import Patience
from windlass.client.server import Server
from windlass.client.source import FileBody, Source

TUS = {"Tus-Resumable": "1.0.0"}
#: Answers after which the same request may succeed: too slow, in use, too many, out of order for a moment.
_PASSING = frozenset({408, 423, 425, 429, 500, 502, 503, 504})
#: What the server does not know (any more), or has ended.
_ENDED = frozenset({404, 410})


class Upload:
    """The conversation of one upload. ``run`` gives the file's id."""

    def __init__(self, server: Server, source: Source, wanted: Wanted, slot: Slot, patience: Patience) -> None:
        self._server, self._source, self._wanted, self._slot, self._patience = server, source, wanted, slot, patience
        self._url: str | None = None
        self._offset: int | None = None
        self._file_id: str | None = None
        self._digest: str | None = None
        self._best = 0
        self._reported = 0
        self._anew = 0

    def run(self) -> Flow[str]:
        """Raises Refused, GaveUp, SourceChanged or BadAnswer."""
        if self._wanted.resume:
            self._url = yield from call(self._slot.recall)
        while self._file_id is None:
            if self._url is None:
                yield from self._create()
            elif self._offset is None:
                yield from self._locate(self._url)
            else:
                yield from self._append(self._url, self._offset)
        yield from call(self._slot.forget)
        yield from call(self._source.verify)
        return self._file_id

    def _create(self) -> Flow[None]:
        if self._digest is None:
            self._digest = yield from self._announced_digest()
        url = self._server.url("files")
        said = TUS | {
            "Upload-Length": str(self._source.size),
            "Upload-Metadata": self._wanted.tus_metadata(self._source.name, self._digest),
        }
        outcome = yield from self._send(Request("POST", url, self._server.headers(url, said)))
        if isinstance(outcome, Interrupted) or outcome.status in _PASSING:
            yield from self._again(outcome)
            return
        if outcome.status != 201:
            raise refusal(outcome)
        if "location" not in outcome.headers:
            raise BadAnswer("The server made an upload and does not say where.", status=outcome.status)
        self._url = self._server.resolve(outcome.headers["location"], url)
        self._offset, self._best = 0, 0
        self._learn(outcome)
        if self._wanted.resume:
            yield from self._remember(self._url)

    def _locate(self, url: str) -> Flow[None]:
        outcome = yield from self._send(Request("HEAD", url, self._server.headers(url, TUS)))
        if isinstance(outcome, Interrupted) or outcome.status in _PASSING:
            yield from self._again(outcome, outcome.seconds)
        elif outcome.status in _ENDED:
            yield from self._begin_anew(outcome)
        elif outcome.status in (200, 204):
            yield from self._go_on_from(url, self._offset_of(outcome), outcome)
        else:
            raise refusal(outcome)

    def _go_on_from(self, url: str, offset: int, answer: Answer) -> Flow[None]:
        self._offset = offset
        self._learn(answer)
        self._advanced_to(offset)
        if offset < self._reported:
            self._notice(f"The server has {offset} of the {self._reported} bytes that were sent")
        elif offset and self._file_id is None:
            self._notice(f"Going on from byte {offset} of {self._source.size}")
        self._report(offset)
        if self._wanted.resume:
            yield from self._remember(url)

    def _append(self, url: str, offset: int) -> Flow[None]:
        yield from call(self._source.verify)
        end = min(offset + (self._wanted.chunk_size or self._source.size), self._source.size)
        body = FileBody(self._source, offset, end, self._report)
        said = TUS | {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        outcome = yield from self._send(Request("PATCH", url, self._server.headers(url, said), body))
        if isinstance(outcome, Answer) and outcome.status in (200, 204):
            yield from self._took(offset, self._offset_of(outcome), outcome)
        elif isinstance(outcome, Interrupted) or outcome.status in _PASSING | {507} or _is_mismatch(outcome):
            self._offset = None
            yield from self._again(outcome, 0.0 if body.moved else outcome.seconds)
        elif outcome.status in _ENDED:
            yield from self._begin_anew(outcome)
        else:
            yield from self._fail(outcome)

    def _took(self, before: int, offset: int, answer: Answer) -> Flow[None]:
        self._offset = offset
        self._learn(answer)
        self._report(offset)
        if offset > before:
            self._advanced_to(offset)
        elif self._file_id is None and offset == self._source.size:
            raise BadAnswer("The server has every byte and names no file. Is this address a Windlass server?")
        elif self._file_id is None:
            yield from self._again(answer)

    def _fail(self, answer: Answer) -> Flow[None]:
        """A refusal that time will not change. A credential that is missing leaves the upload as it is."""
        if answer.status not in (401, 403):
            yield from call(self._slot.forget)
        raise refusal(answer)

    def _begin_anew(self, answer: Answer) -> Flow[None]:
        """The server does not know this upload (any more). Once is age; twice, somebody ends what we begin."""
        yield from call(self._slot.forget)
        self._anew += 1
        if self._anew > 1:
            raise refusal(answer)
        self._notice("The server no longer knows the earlier upload; it begins anew")
        self._url = self._offset = None

    def _again(self, outcome: Outcome, spent: float | None = None) -> Flow[None]:
        why = sentence(outcome.reason)[:-1] if isinstance(outcome, Interrupted) else str(refusal(outcome)).rstrip(".")
        wanted = outcome.retry_after if isinstance(outcome, Answer) else None
        delay = self._patience.after_failure(outcome.seconds if spent is None else spent, wanted)
        if delay is None:
            raise self._gave_up(outcome, why)
        self._notice(f"{why}; trying again in {delay:.1f} s")
        yield Pause(delay)

    def _gave_up(self, outcome: Outcome, why: str) -> Exception:
        if isinstance(outcome, Answer):
            return refusal(outcome)
        return GaveUp(f"{why}. The same upload goes on from where it stopped.")

    def _send(self, request: Request) -> Flow[Outcome]:
        outcome = yield from send(request)
        if isinstance(outcome, Answer):
            self._patience.answered()
        return outcome

    def _announced_digest(self) -> Flow[str | None]:
        if self._wanted.sha256 is True:
            self._notice("Computing the SHA-256")
            return (yield from call(self._source.sha256))
        return self._wanted.sha256

    def _remember(self, url: str) -> Flow[None]:
        yield from call(lambda: self._slot.remember(url))

    def _learn(self, answer: Answer) -> None:
        named = answer.headers.get("windlass-file", "")
        self._file_id = named.rstrip("/").rpartition("/")[2] or None

    def _offset_of(self, answer: Answer) -> int:
        offset = -1
        with contextlib.suppress(ValueError):
            offset = int(answer.headers.get("upload-offset", ""))
        if not 0 <= offset <= self._source.size:
            raise BadAnswer("The server's answer names no offset within the file.", status=answer.status)
        return offset

    def _advanced_to(self, offset: int) -> None:
        if offset > self._best:
            self._best = offset
            self._patience.progressed()

    def _report(self, sent: int) -> None:
        self._reported = sent
        if self._wanted.on_progress:
            self._wanted.on_progress(sent, self._source.size)

    def _notice(self, text: str) -> None:
        if self._wanted.on_notice:
            self._wanted.on_notice(text)


def _is_mismatch(answer: Answer) -> bool:
    """Whether a 409 is about the offset, which asking again settles, and not about the upload."""
    kind = str(problem_of(answer).get("type", "")).rpartition("/")[2]
    return answer.status == 409 and kind in ("", "offset-mismatch")
