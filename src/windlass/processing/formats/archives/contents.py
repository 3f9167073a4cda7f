"""The rendition that lists what is in an archive, for people."""

from __future__ import annotations

import json
from collections.abc import Sequence

from windlass.processing.contract import MadeRendition, Makes, StepContext
from windlass.processing.formats.archives.inspection import LARGEST_INTEGER, Entry, Inspection

NAME, MIME_TYPE = "contents", "application/json"
MAKES = Makes(NAME, NAME, (MIME_TYPE,))
#: Characters of a name; longer ones are cut.
LONGEST_NAME = 500


def write_contents(context: StepContext, inspections: Sequence[Inspection]) -> tuple[MadeRendition, ...]:
    """Write the entries of the first inspection that has any; nothing where none has.

    ``{"entries": [{"name", "size", "kind"}, …], "total"}``: ``size`` as the archive claims it, ``total`` of all entries
    that were counted.
    """
    listed = next((each for each in inspections if each.first_entries), None)
    if listed is None:
        return ()
    document = {"entries": [_described(entry) for entry in listed.first_entries], "total": listed.entries}
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return (context.add_rendition(NAME, MIME_TYPE, data),)


def _described(entry: Entry) -> dict[str, str | int]:
    name = entry.name[:LONGEST_NAME].encode("utf-8", "replace").decode()
    is_link = entry.is_link or entry.is_hard_link
    kind = "directory" if entry.is_directory else "link" if is_link else "file"
    return {"name": name, "size": min(entry.size, LARGEST_INTEGER), "kind": kind}
