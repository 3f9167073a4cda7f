"""Detect a file's type by its content."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

from windlass.kernel.media_type_tables import ARCHIVES
from windlass.kernel.media_types import canonical, contains, has_signature, is_text, matches, of_filename
from windlass.processing.contract import About, PermanentError, StepContext, StepResult, Unreadable
from windlass.processing.formats import type_refinement
from windlass.processing.formats.archives import archive_types
from windlass.processing.formats.documents import compound_file, pdf, zip_types
from windlass.processing.formats.pictures import raw_photos
from windlass.processing.formats.read_limits import MB, blocks
from windlass.processing.formats.recordings import recording_types
from windlass.processing.formats.text import markup_types, text_types
from windlass.processing.formats.text.markup_types import Markup
from windlass.processing.formats.text.text_types import Text
from windlass.processing.toolkit.warm_up import SAMPLES, warm_up

#: Bytes that libmagic reads at most.
HEAD = MB

#: First bytes in which PDF readers search for the header.
PDF_WITHIN = 1024

#: Last bytes in which the end of a PDF is searched before the file is opened as one.
_PDF_END = 64 * 1024

#: First bytes in which the root of a markup document is searched.
_MARKUP_WITHIN = 64 * MB

_UNKNOWN, _COMPOUND, _PDF = "application/octet-stream", compound_file.UNKNOWN, "application/pdf"
_ZIP, _TAR, _PDF_MARK = "application/zip", "application/x-tar", b"%PDF-"

#: Types of documents that are stored in a compound file when encrypted.
_LOCKED = ("application/vnd.openxmlformats-officedocument.", "application/vnd.ms-")

#: libmagic's types of compound files that it takes from the writing program, which embedded documents may name too.
_GUESSED_BY_PROGRAM = frozenset(
    {
        _UNKNOWN,
        "application/encrypted",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-office",
        "application/vnd.ms-outlook",
        "application/vnd.ms-powerpoint",
    }
)

#: Types with scripts, which only the root element decides.
_BY_ROOT = frozenset({markup_types.SVG, markup_types.XHTML})


class Type:
    """Detects by content: a zip file by its directory and the main part of an office file, a compound file by its root
    entry, markup by its root, text by all of its characters, other files by libmagic and by signatures that libmagic
    does not know. The name decides the kind of a plain text (`.csv`, `.md`), if it names a kind of text. A file with
    an appended zip file or PDF has both types; so has a container whose type is not that of a container."""

    about = About(
        name="type",
        stage="intake",
        title="Detecting the type",
        order=40,
        isolated=True,
        gives={
            "mime_type": "type of the content",
            "encoding": "character encoding of a text",
            "also": "further types of the same bytes, such as a zip file appended to an image",
        },
        # pylibmagic makes magic find the library that came with it
        libraries=("pylibmagic", "magic", "pypdfium2", "olefile", "zlib_ng", "bz2", "lzma"),
    )

    def prepare(self) -> None:
        """libmagic's own database is read once, while files can be opened."""
        warm_up(self, *SAMPLES)

    def run(self, context: StepContext) -> StepResult:
        detected = _Detection(context).detect()
        facts: dict[str, Any] = {"mime_type": detected.kind}
        if detected.encoding and is_text(detected.kind):
            facts["encoding"] = detected.encoding
        if detected.also or context.facts.get("also"):
            facts["also"] = list(detected.also)
        return StepResult(facts, detail=", and also ".join([detected.kind, *detected.also]))


@dataclass(frozen=True, slots=True)
class _DetectedType:
    kind: str
    encoding: str | None = None
    also: tuple[str, ...] = ()


class _Detection:
    """The detection for one file: its first bytes, libmagic's guess, and the types that name and sender claim."""

    def __init__(self, context: StepContext) -> None:
        self._file, self._size = context.file, int(context.facts["size"])
        self._head = context.file.read(HEAD)
        self._guess, encoding = _by_libmagic(self._head)
        self._encoding = encoding if encoding != "binary" else None
        claims = (of_filename(context.facts["filename"]), canonical(context.facts.get("declared_mime_type")))
        self._claims = [claim for claim in claims if claim]

    def detect(self) -> _DetectedType:
        if not self._head:
            return _DetectedType(self._guess)
        if self._head.startswith(zip_types.SIGNATURES):
            return self._zip_file()
        if self._head.startswith(compound_file.SIGNATURE):
            return self._with_further_types(self._compound_kind())
        is_named = any(text_types.is_named_text(claim) for claim in self._claims)
        may_have_controls = is_named and (self._guess == _UNKNOWN or is_text(self._guess))
        text = text_types.detect_text(self._head, is_whole=self._size <= HEAD, may_have_controls=may_have_controls)
        kind = self._markup_kind(text) or self._pdf_kind(text, is_named) or self._text_kind(text)
        if kind is None:
            return self._with_further_types(self._binary_kind())
        encoding = text.encoding if text else None
        return self._with_further_types(kind, encoding or self._encoding, is_text=text is not None)

    def _zip_file(self) -> _DetectedType:
        kinds = zip_types.kinds(self._file)
        kind = kinds[0] if kinds else _ZIP
        if kind == _ZIP and _is_guess_of_zip(self._guess, bool(kinds)):
            kind = self._guess  # libmagic knows more kinds by their first entries
        kind = type_refinement.narrow_by_claims(kind, self._claims)
        return _DetectedType(kind, also=_others(kind, [*kinds[1:], *self._archive_types(kind)]))

    def _compound_kind(self) -> str:
        root = compound_file.read_root(self._file)
        if root is not None and root.is_locked:
            return next((claim for claim in self._claims if claim.startswith(_LOCKED)), _COMPOUND)
        kind = _COMPOUND if root is None else root.mime_type
        if kind == _COMPOUND and self._guess not in _GUESSED_BY_PROGRAM:
            kind = self._guess
        return type_refinement.narrow_by_claims(kind, self._claims)

    def _markup_kind(self, text: Text | None) -> str | None:
        markup = _markup(_blocks(self._file))
        if markup is None or (text is None and not markup.certain):
            return None
        kind = markup.kind
        if markup.is_xhtml:
            return next((claim for claim in self._claims if claim in (markup_types.HTML, markup_types.XHTML)), kind)
        if kind == markup_types.XML:
            kind = next((claim for claim in self._claims if claim.endswith("+xml") and claim not in _BY_ROOT), kind)
        if markup.certain or kind not in (markup_types.XML, markup_types.HTML) or text is None:
            return kind
        return text_types.text_type(text, kind if kind == markup_types.HTML else self._text_guess(), self._claims)

    def _pdf_kind(self, text: Text | None, is_named: bool) -> str | None:
        """A PDF if it opens as one, or by its first bytes if it is damaged."""
        place = self._head[: PDF_WITHIN + len(_PDF_MARK)].find(_PDF_MARK)
        if place < 0:
            return None
        if place == 0 and (text is None or _PDF in self._claims):
            return _PDF
        is_another = place > 0 and (is_named if text is not None else has_signature(self._guess))
        return _PDF if not is_another and self._opens_as_pdf() else None

    def _opens_as_pdf(self) -> bool:
        self._file.seek(max(0, self._size - _PDF_END))
        if b"startxref" not in self._file.read(_PDF_END):
            return False
        self._file.seek(0)
        try:
            with pdf.opened(self._file):
                return True
        except PermanentError:
            return False

    def _text_kind(self, text: Text | None) -> str | None:
        if text is not None:
            return text_types.text_type(text, self._text_guess(), self._claims)
        mail = next((claim for claim in self._claims if claim in text_types.MAIL), None)  # may have binary parts
        return mail if mail and text_types.is_mail(self._head.decode("latin-1")) else None

    def _text_guess(self) -> str:
        """libmagic's guess; not HTML and XML, which it guesses for any text that mentions tags."""
        return "text/plain" if self._guess in (markup_types.HTML, markup_types.XML) else self._guess

    def _binary_kind(self) -> str:
        if _TAR in self._claims and self._size >= 1024 and not self._head.strip(b"\0"):
            return _TAR  # an empty archive: end mark only
        photo = raw_photos.read_raw_photo(self._file, self._size)
        if photo is not None:
            return photo.mime_type
        guess = _UNKNOWN if is_text(self._guess) else self._guess  # text types are wrong for binary content
        kind = type_refinement.refine_by_signature(guess, self._head, self._size)
        is_named_zip = any(contains(_ZIP, claim) or claim == _ZIP for claim in self._claims)
        if kind == _UNKNOWN or (is_named_zip and not has_signature(kind)):
            kind = next(iter(self._embedded_zip_types()), kind)
        kind = recording_types.recording_type(self._file, self._head, self._size, kind)
        kind = self._guess if kind == _UNKNOWN else kind
        return type_refinement.narrow_by_claims(kind, self._claims)

    def _embedded_zip_types(self) -> list[str]:
        """Types of a zip file behind other content: programs read zip files from the end."""
        return zip_types.kinds(self._file, with_entries=True)

    def _with_further_types(self, kind: str, encoding: str | None = None, *, is_text: bool = False) -> _DetectedType:
        also = self._embedded_zip_types()
        if kind != _PDF and _PDF_MARK in self._head[:PDF_WITHIN] and (not is_text or self._opens_as_pdf()):
            also.append(_PDF)
        if kind == "application/gzip" and _is_packed_svg(self._file):
            also.append(markup_types.SVG)
        if not is_text:  # text is no archive, whatever its first characters
            also += self._archive_types(kind, *also)
        return _DetectedType(kind, encoding, _others(kind, also))

    def _archive_types(self, *kinds: str) -> list[str]:
        """Archive types by structure, unless the types detected so far are archives already."""
        if matches(kinds[0], ARCHIVES):
            return []
        types = archive_types.types_by_structure(self._file)
        is_named_zip = any(matches(kind, ARCHIVES) for kind in kinds)
        return [each for each in types if each != archive_types.ZIP or not is_named_zip]


def _others(kind: str, also: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(other for other in also if other != kind))


def _is_guess_of_zip(guess: str, has_directory: bool) -> bool:
    """Whether libmagic's guess by the first entries is better than the directory's. It takes any zip file with an entry
    below `word/` for a document, which the directory decides better."""
    documents = ("application/vnd.openxmlformats", "application/vnd.oasis", "application/epub")
    return guess != _UNKNOWN and contains(_ZIP, guess) and not (has_directory and guess.startswith(documents))


def _by_libmagic(head: bytes) -> tuple[str, str]:
    """Return type and encoding."""
    detector = _detector()
    import magic  # only now, see `libraries`

    try:
        description = detector.from_buffer(head)
    except magic.MagicException as error:
        raise Unreadable("The type cannot be detected from the content.") from error
    mime_type, _, encoding = description.partition("; charset=")
    return canonical(mime_type), encoding


def _markup(blocks_read: Iterator[bytes]) -> Markup | None:
    try:
        return markup_types.detect_markup(blocks_read)
    except ValueError as error:
        raise Unreadable(
            f"The type cannot be detected: there is too much before the document's first element (at most"
            f" {_MARKUP_WITHIN // MB} MB of comments, and 1 MB of anything else)."
        ) from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the file from its start. Raises ValueError where more than _MARKUP_WITHIN bytes are requested."""
    file.seek(0)
    yield from blocks(file, _MARKUP_WITHIN)
    if file.read(1):
        raise ValueError


def _is_packed_svg(file: BinaryIO) -> bool:
    markup = _markup(_unpacked(file))
    return markup is not None and markup.kind == markup_types.SVG


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Yield the first member of a gzip file, as far as it can be unpacked."""
    inflater, left = zlib.decompressobj(31), _MARKUP_WITHIN
    for block in _blocks(file):
        try:
            while block and not inflater.eof:
                data = inflater.decompress(block, 64 * 1024)
                yield data
                left -= len(data)
                block = inflater.unconsumed_tail
        except zlib.error:
            return
        if left < 0:
            raise ValueError


@cache
def _detector() -> Any:
    """Opening libmagic's database takes milliseconds; the object may be used by several threads."""
    import pylibmagic  # noqa: F401  see `libraries`

    import magic  # isort: skip

    return magic.Magic(mime=True, mime_encoding=True)
