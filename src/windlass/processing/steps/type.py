"""What the content is, whatever its name and its sender say."""

from __future__ import annotations

from windlass.kernel.media_types import canonical, is_text
from windlass.processing.contract import About, StepContext, StepResult, Unreadable

#: libmagic looks at no more than this by itself.
HEAD = 1024 * 1024


class Type:
    """Detects by content with libmagic, from the first MiB."""

    about = About(
        name="type",
        stage="intake",
        title="Detecting the type",
        order=40,
        isolated=True,
        gives={
            "mime_type": "type of the content",
            "encoding": "character encoding of a text",
        },
        libraries=("pylibmagic", "magic"),  # the first makes the second find the library that came with it
    )

    def run(self, context: StepContext) -> StepResult:
        import pylibmagic  # noqa: F401  see `libraries`

        import magic  # isort: skip

        try:
            said = magic.Magic(mime=True, mime_encoding=True).from_buffer(context.file.read(HEAD))
        except magic.MagicException as error:
            raise Unreadable(f"The type cannot be detected: {error}.") from error
        mime_type, _, encoding = said.partition("; charset=")
        facts = {"mime_type": canonical(mime_type)}
        if encoding and is_text(facts["mime_type"]):
            facts["encoding"] = encoding
        return StepResult(facts, detail=facts["mime_type"])
