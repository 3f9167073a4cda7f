"""The facts that a file is found by: title, author, tags, camera, caption. Its text is not among them: that is indexed
in passages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from windlass.kernel import filenames

#: Characters of a file's searchable facts. Each fact is shorter; tags may be many.
MAX_LENGTH = 2000
_FACTS = ("title", "author", "subject", "keywords")
#: Facts that are mappings, and the members of them that a person would search for.
_MEMBERS = {
    "tags": ("title", "artist", "album", "albumartist", "composer", "genre"),
    "exif": ("make", "model", "lens", "artist", "description"),
}


def searchable_facts(facts: Mapping[str, Any]) -> str:
    """The texts among the facts of a file (``extra_attributes``), one in a line, normalized for search
    (``filenames.comparable``, which removes line breaks)."""
    texts = dict.fromkeys(filenames.comparable(text) for text in _texts(facts))
    return "\n".join(text for text in texts if text)[:MAX_LENGTH]


def _texts(facts: Mapping[str, Any]) -> Iterator[str]:
    yield from _strings(facts, _FACTS)
    for name, members in _MEMBERS.items():
        group = facts.get(name)
        if isinstance(group, Mapping):
            yield from _strings(group, members)


def _strings(facts: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = facts.get(name)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                yield each
