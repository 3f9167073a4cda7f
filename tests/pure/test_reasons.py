"""Reasons are plain sentences: flaws are found, and no refusal repeats a library's message."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reasons import flaws, reasons_in
from windlass.processing.contract import PermanentError, Unreadable, damaged
from windlass.processing.sandbox.exit_status import StepDied, StepFailed, result_or_raise
from windlass.processing.sandbox.lockdown import Limits
from windlass.processing.step_result import log_notes

SOURCE = Path(__file__).parents[2] / "src/windlass"
#: Packages whose errors a client or a file's owner reads.
TOLD = ("accounts", "files", "http", "kernel", "processing", "protocols", "receiving")
#: What may repeat the words of an error, because another person reads it, or because the error is one of ours.
FOR_OTHERS = frozenset(
    {
        "accounts/json_web_tokens/key_set.py: FetchFailed",  # goes to the log and to `windlass check`
        "accounts/permission_rule.py: BadAnswer",  # goes to the log: the reply is 500
        "files/deletion.py: FileInUse",  # names of models of the project
        "files/profiles.py",  # BadSetting: who runs the server reads it
        "files/store_breaker.py",  # a number of ours
        "http/downloads/object_streaming.py",  # StoreError: goes to the log
        "http/downloads/zip_archives.py: StoreError",
        "http/rest/circuit_breakers.py: NotFound",  # UnknownBreaker: a sentence of ours
        "http/rest/webhooks.py: Conflict",  # errors of events.api: sentences of ours
        "http/rest/webhooks.py: Forbidden",
        "http/rest/webhooks.py: InvalidField",
        "processing/entity_extraction.py: Owed",  # sentences of ours, made by the knowledge app
        "processing/entity_extraction.py: PermanentError",
        "processing/formats/archives/decompressors.py: ValueError",  # made a sentence of ours in the same module
        "processing/formats/text/xml_events.py",  # the number of a line
        "processing/registry.py",  # BrokenStep: who runs the server reads it
        "processing/sandbox/channel.py",  # InvalidMessage: goes to the log
        "processing/scanners/clamd.py",  # ScannerAway: goes to the log and to `windlass check`
        "processing/scanners/configured_scanner.py",  # BrokenScanner: who runs the server reads it; a number of ours
        "processing/step_services.py: Unavailable",  # a number of ours
        "processing/steps/embed.py: Owed",  # sentences of ours, made by the knowledge app
        "processing/text_embedding.py: PermanentError",
        "processing/text_embedding.py: Unavailable",
        "protocols/json_fields.py",  # a problem of ours, with the field's name
        "protocols/s3multipart.py",
    }
)


@pytest.mark.parametrize(
    "reason",
    [
        "The picture cannot be read: VipsForeignLoadPngSource; .",
        "The PDF cannot be read: PDFium: Success.",
        "The JSON is wrong: use sys.set_int_max_str_digits() to increase the limit.",
        "The step failed with KeyError.",
        "The step failed with UnicodeDecodeError.",
        "The step was killed by SIGSEGV.",
        "A part of 123456 bytes unpacks to 99999999 and more.",
        "The file may have at most 5368709120.",
        "It is {'a': 1}.",
        "'utf-8' codec can't decode byte 0xff.",
        "no full stop",
        "",
    ],
)
def test_a_reason_that_is_no_sentence_has_flaws(reason: str) -> None:
    assert flaws(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "The file has 5368709121 bytes; at most 5368709120 bytes are allowed.",
        "The offset of the upload is byte 10485760; the request starts at byte 0.",
        "There is no file 01934a5b-1111-7abc-8def-1234567890ab.",
        "The name ends in '.error', and 'ValueError' is what the client sent.",
        "The file has 4294836225 pixels; at most 50000000 pixels are allowed.",
        "The PDF cannot be read: it is damaged, or of a kind that is not known here.",
    ],
)
def test_a_plain_sentence_has_no_flaws(reason: str) -> None:
    assert flaws(reason) == []


def test_the_reasons_of_a_reply_are_found() -> None:
    record = {"status": "REJECTED", "message": "a", "rejection": {"detail": "b"}}
    status = {"status": "READY", "message": "", "steps": [{"state": "failed", "detail": "c"}, {"state": "done"}]}
    assert [*reasons_in(record)] == ["b", "a"]
    assert [*reasons_in(status)] == ["c"]
    assert [*reasons_in({"type": "/problems/x", "detail": "d"})] == ["d"]


def test_a_librarys_message_is_logged_and_not_shown() -> None:
    with pytest.raises(Unreadable) as caught, damaged(OSError, what="PDF"):
        raise OSError("VipsForeignLoadPngSource\n")
    assert flaws(str(caught.value)) == []
    assert log_notes(caught.value) == ["OSError: VipsForeignLoadPngSource\n"]


LIMITS = Limits(memory=2**30, seconds=10)


@pytest.mark.parametrize(
    ("ended", "answer", "kind", "note"),
    [
        (None, {"kind": "failed", "detail": "It is torn.", "note": "OSError: vips"}, StepFailed, "OSError: vips"),
        (None, {"kind": "surprised", "detail": "It is torn.", "note": "KeyError: 1"}, PermanentError, "KeyError: 1"),
        ({"exit": -11}, None, StepDied, "signal 11"),
        ({"exit": -9}, None, StepDied, "signal 9"),
        ({"exit": 3}, None, StepDied, "exit status 3"),
    ],
)
def test_the_end_of_a_step_has_a_reason_and_a_log_note(
    ended: dict[str, int] | None, answer: dict[str, str] | None, kind: type[Exception], note: str
) -> None:
    with pytest.raises(kind) as caught:
        result_or_raise(LIMITS, ended, answer)
    assert flaws(str(caught.value)) == []
    assert log_notes(caught.value) == [note]


def _worded_by_another(path: Path) -> Iterator[str]:
    """Where an error is raised with the words of the one that it replaces."""
    for handler in ast.walk(ast.parse(path.read_text())):
        if not isinstance(handler, ast.ExceptHandler) or not handler.name:
            continue
        for node in ast.walk(handler):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                names = {each.id for part in node.exc.args for each in ast.walk(part) if isinstance(each, ast.Name)}
                if handler.name in names and not hasattr(builtins, node.exc.func.id):  # no owner reads those
                    yield node.exc.func.id


def test_no_refusal_repeats_a_librarys_message() -> None:
    found = [
        f"{path.relative_to(SOURCE).as_posix()}: {kind}"
        for package in TOLD
        for path in sorted((SOURCE / package).rglob("*.py"))
        for kind in _worded_by_another(path)
    ]
    assert [each for each in found if each not in FOR_OTHERS and each.partition(":")[0] not in FOR_OTHERS] == []
