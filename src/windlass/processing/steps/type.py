"""What the content is, whatever its name and its sender say."""

from __future__ import annotations

from functools import cache
from typing import Any

from windlass.kernel.formats import compound_kinds, looks, raw_photos, recording_kinds, zip_kinds
from windlass.kernel.media_types import canonical, is_text, of_filename
from windlass.processing.contract import About, StepContext, StepResult, Unreadable
from windlass.processing.toolkit.rehearsal import SAMPLES, rehearse

#: libmagic looks at no more than this by itself.
HEAD = 1024 * 1024

#: Where readers of PDF look for its beginning.
PDF_WITHIN = 1024


class Type:
    """Detects by content: libmagic on the first MiB, then a zip file's directory, a compound file's directory, and
    signatures that libmagic does not know. A plain text is what its name says of it (``.csv``, ``.md``), if that is a
    kind of text. A file that begins as one thing and ends as a zip file is both."""

    about = About(
        name="type",
        stage="intake",
        title="Detecting the type",
        order=40,
        isolated=True,
        gives={
            "mime_type": "type of the content",
            "encoding": "character encoding of a text",
            "also": "further types that the same bytes have, such as a zip file behind a picture",
        },
        libraries=("pylibmagic", "magic"),  # the first makes the second find the library that came with it
    )

    def prepare(self) -> None:
        """libmagic's own database is read once, while files can be opened."""
        rehearse(self, *SAMPLES)

    def run(self, context: StepContext) -> StepResult:
        head = context.file.read(HEAD)
        found, encoding = _said(head)
        claims = (of_filename(context.facts["filename"]), context.facts.get("declared_mime_type"))
        kind = looks.narrowed(_looked_into(context, found, head), claims)
        facts: dict[str, Any] = {"mime_type": kind}
        if encoding and encoding != "binary" and is_text(kind):
            facts["encoding"] = encoding
        also = _also(context, head, kind)
        if also or context.facts.get("also"):
            facts["also"] = also
        return StepResult(facts, detail=", and also ".join([kind, *also]))


def _said(head: bytes) -> tuple[str, str]:
    """Type and encoding, by libmagic."""
    detector = _detector()
    import magic  # only now, see `libraries`

    try:
        said = detector.from_buffer(head)
    except magic.MagicException as error:
        raise Unreadable("The type cannot be detected from the content.") from error
    mime_type, _, encoding = said.partition("; charset=")
    return canonical(mime_type), encoding


def _looked_into(context: StepContext, found: str, head: bytes) -> str:
    size: int = context.facts["size"]
    if head.startswith(b"PK\x03\x04"):
        directory = zip_kinds.directory(context.file)
        if directory is not None and directory.begins == 0:
            inside = zip_kinds.kind(context.file, directory)
            return inside if inside != "application/zip" or found == "application/octet-stream" else found
    elif head.startswith(compound_kinds.SIGNATURE):
        return _of_compound(context, found)
    photo = raw_photos.read(context.file, size)
    if photo is not None:
        return photo.mime_type
    return recording_kinds.kind(context.file, head, size, looks.refined(found, head, size))


def _of_compound(context: StepContext, found: str) -> str:
    names = compound_kinds.names(context.file)
    claim = of_filename(context.facts["filename"]) or canonical(context.facts.get("declared_mime_type"))
    if compound_kinds.ENCRYPTED in names and claim.startswith("application/vnd.openxmlformats-officedocument."):
        return claim
    inside = compound_kinds.kind(names)
    general = found in ("application/x-ole-storage", "application/encrypted", "application/octet-stream")
    return inside if general or inside != "application/x-ole-storage" else found


def _also(context: StepContext, head: bytes, kind: str) -> list[str]:
    """Readers of zip files begin at a file's end, readers of PDF allow for something before it."""
    also = []
    if not head.startswith(b"PK"):
        directory = zip_kinds.directory(context.file)
        if directory is not None and directory.entries:
            also.append(zip_kinds.kind(context.file, directory))
    if kind != "application/pdf" and not is_text(kind) and b"%PDF-" in head[:PDF_WITHIN]:
        also.append("application/pdf")
    return [name for name in also if name != kind]


@cache
def _detector() -> Any:
    """Opening libmagic's database takes milliseconds; the object may be used by several threads."""
    import pylibmagic  # noqa: F401  see `libraries`

    import magic  # isort: skip

    return magic.Magic(mime=True, mime_encoding=True)
