"""When two names mean the same entity: the normal forms of names, and the ids that are made of them. Pure."""

from __future__ import annotations

import re
import unicodedata
from uuid import UUID, uuid5

from windlass.knowledge.graph.legal_suffixes import without_legal_suffix

#: Of the ids of entities. They depend on nothing but the owner, the type and the name, so that a graph that is built
#: anew has the same.
_NAMESPACE = UUID("5d1c5a0e-6a3c-4a52-9d3e-0c1f6a1e7b11")

_SPACE = re.compile(r"\s+")
_TITLE = re.compile(
    r"^(?:(?:mr|mrs|ms|dr|prof|herrn?|frau|se[nñ]ora?|sr|sra|do[nñ]a?|mister|madam|professor|doctor)\b\.?\s+)+"
)
_EDGES = " \t\"'.,;:()[]«»„“”‚‘’"


def exact_form(name: str) -> str:
    """The name without differences of case, width, quotation marks and white space."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return _SPACE.sub(" ", text).strip(_EDGES) or text


def normal_form(kind: str, name: str) -> str:
    """The form that all names of one entity share: also without a company's legal suffix, and a person's title."""
    text = exact_form(name)
    if kind == "organization":
        return without_legal_suffix(text).strip(_EDGES) or text
    if kind == "person":
        return _TITLE.sub("", text) or text
    return text


def entity_id(owner: str, kind: str, name: str) -> UUID:
    return uuid5(_NAMESPACE, f"{owner}\0{kind}\0{normal_form(kind, name)}")


def exact_id(owner: str, kind: str, name: str) -> UUID:
    """Of the name itself; differs from every ``entity_id``."""
    return uuid5(_NAMESPACE, f"{owner}\0{kind}\0exact\0{exact_form(name)}")
