"""Whether bytes are text, and which type of text, for files that are no markup.

Text decodes and has no control characters other than those of texts. The name or the sender may say which type of text
it is; a signature of another format in its first bytes does not change that.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from windlass.kernel.media_type_tables import TEXT
from windlass.kernel.media_types import has_signature

#: Bytes of the sample from which UTF-16 is detected.
_SAMPLE = 4096

#: Control characters that no text has: all but those for lines, terminals, printers, and end of file in DOS.
_CONTROLS = bytes([*range(0x07), *range(0x0E, 0x1A), *range(0x1C, 0x20), 0x7F])

#: Largest share of control characters in a file that its name declares to be text.
_LARGEST_SHARE_OF_CONTROLS = 0.05

#: Mark, and the codec of what follows it.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32le"),
    (codecs.BOM_UTF32_BE, "utf-32be"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)

#: Types of text that begin with a signature, so that no name makes a text one of them.
_SIGNED_TYPES = frozenset({"application/rtf", "application/x-sylk"})
POSTSCRIPT = "application/postscript"
MAIL = frozenset({"message/rfc822", "application/mbox"})

#: Text formats with a signature.
_SIGNED_TEXTS = (
    (re.compile(r"\{\\rtf\d?\s*[\\{}]"), "application/rtf"),
    (re.compile(r"(?:\x04|\x1b%-12345X[^%]{0,500})?%!PS(?:-Adobe-\d\.\d[^\r\n]*)?[\r\n]"), POSTSCRIPT),
)

#: Pictures in text form with a signature; a file that its name declares to be text is none of them.
_SIGNED_PICTURES = (
    (re.compile(r"P1\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+[01\s]"), "image/x-portable-bitmap"),
    (re.compile(r"P2\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+\d+\s"), "image/x-portable-graymap"),
    (re.compile(r"P3\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+\d+\s"), "image/x-portable-pixmap"),
    (re.compile(r"/\* XPM \*/"), "image/x-xpixmap"),
)

_FIELD = re.compile(r"[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t]+[^\n]*\n)*")
_POSTMARK = re.compile(r">?From [^\n]+\n")
_MAIL_FIELD = re.compile(
    r"^(?:bcc|cc|content-type|date|delivered-to|dkim-signature|from|message-id|mime-version|received|reply-to"
    r"|return-path|sender|subject|to):",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Text:
    """``encoding``: None for one of 8 bits, which only a guess by its letters can identify."""

    encoding: str | None
    sample: str


def detect_text(head: bytes, *, is_whole: bool, may_have_controls: bool) -> Text | None:
    """Detect text from a file's first bytes; None for binary data.

    ``may_have_controls``: the name or the sender declares text and nothing contradicts it, so that a few control
    characters are accepted.
    """
    marked = next(((mark, codec) for mark, codec in BYTE_ORDER_MARKS if head.startswith(mark)), None)
    if marked and marked[1] != "utf-8":
        return _decode_wide(head[len(marked[0]) :], marked[1], is_whole=is_whole)
    if not head or not _has_few_controls(head, may_have_controls=may_have_controls):
        return _decode_unmarked_wide(head, is_whole=is_whole)
    sample = head[: 16 * _SAMPLE]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, is_whole)
    except UnicodeDecodeError:
        return Text(None, sample.decode("latin-1"))
    return Text("us-ascii" if head.isascii() else "utf-8", sample.decode("utf-8-sig", "replace"))


def text_type(text: Text, guess: str, claims: Sequence[str]) -> str:
    """Return the type of a text. ``claims``: types by its name and by its sender; ``guess``: libmagic's, which decides
    where neither claims a type."""
    by_signature = _signed(text, _SIGNED_TEXTS)
    if by_signature or (POSTSCRIPT in claims and "%!" in text.sample[:1024]):
        return by_signature or POSTSCRIPT
    if guess in claims and not has_signature(guess):
        return guess
    for claim in claims:
        if is_named_text(claim) and (claim not in MAIL or is_mail(text.sample)):
            return claim
    if any(is_named_text(claim) for claim in claims):
        return "text/plain"
    if picture := _signed(text, _SIGNED_PICTURES):
        return picture
    if guess == "message/rfc822":
        return guess if is_mail(text.sample, strict=True) else "text/plain"
    return guess if is_named_text(guess) or fnmatchcase(guess, "application/pgp-*") else "text/plain"


def _signed(text: Text, patterns: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    return next((kind for pattern, kind in patterns if pattern.match(text.sample)), None)


def is_named_text(kind: str) -> bool:
    """Whether a text is of this type where its name or its sender says so."""
    return kind.startswith("text/") or kind.endswith("+json") or kind in TEXT - _SIGNED_TYPES


def is_mail(sample: str, *, strict: bool = False) -> bool:
    """Whether it begins with header fields of a message (RFC 5322), possibly behind the first line of a mailbox.

    ``strict``: two of the fields that every message has are among them.
    """
    sample = sample.replace("\r\n", "\n")
    end = postmark.end() if (postmark := _POSTMARK.match(sample)) else 0
    start = end
    while field := _FIELD.match(sample, end):
        end = field.end()
    if end == start or (sample[end : end + 1] not in ("", "\n") and "\n" in sample[end:]):
        return False
    return not strict or len({field.lower() for field in _MAIL_FIELD.findall(sample[start:end])}) > 1


def _has_few_controls(head: bytes, *, may_have_controls: bool) -> bool:
    count = _controls(head)
    return not count or (may_have_controls and count <= max(1, len(head) * _LARGEST_SHARE_OF_CONTROLS))


def _controls(content: bytes) -> int:
    return len(content) - len(content.translate(None, _CONTROLS))


def _decode_wide(content: bytes, codec: str, *, is_whole: bool) -> Text | None:
    """Decode UTF-16 or UTF-32. Almost any bytes decode, so most characters must be assigned ones."""
    final = is_whole and len(content) % 2 == 0
    try:
        decoded = codecs.getincrementaldecoder(codec)("surrogatepass").decode(content, final)
    except UnicodeDecodeError:
        return None
    if _controls(decoded.encode("utf-8", "surrogatepass")):
        return None
    sample = decoded[:_SAMPLE]
    odd = sum(unicodedata.category(character) in ("Cn", "Co", "Cs") for character in sample)
    return Text(codec, decoded[: 16 * _SAMPLE]) if odd <= len(sample) / 20 else None


def _decode_unmarked_wide(head: bytes, *, is_whole: bool) -> Text | None:
    """Decode UTF-16 without a mark where it is mostly ASCII, so that every other byte is zero."""
    sample = head[:_SAMPLE]
    for codec, zeros, others in (("utf-16le", sample[1::2], sample[::2]), ("utf-16be", sample[::2], sample[1::2])):
        if len(sample) >= 4 and zeros.count(0) > 0.7 * len(zeros) and b"\0" not in others:
            return _decode_wide(head, codec, is_whole=is_whole)
    return None
