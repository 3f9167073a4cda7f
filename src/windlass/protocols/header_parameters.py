"""Header values with parameters: ``form-data; name="file"; filename*=UTF-8''na%C3%AFve.txt``.

Accepts what clients send, which RFC 6266 and RFC 8187 do not always allow. Never raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

# Only \" and \\ are escapes: an old Windows browser sends "C:\dir\a.txt" as it is.
_QUOTED = r'"(?P<quoted>(?:\\["\\]|\\(?!["\\])|[^"\\])*)(?:"|$)'
_PARAMETER = re.compile(
    r";[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:" + _QUOTED + r"|(?P<plain>[^;]*))", re.DOTALL
)
_OF_A_FORM = re.compile("%(22|0D|0A)", re.IGNORECASE)
_ESCAPE = re.compile(r'\\(["\\])')
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'(.*)", re.IGNORECASE | re.DOTALL)


def parse(header: str) -> tuple[str, dict[str, str]]:
    """Return the value in lower case and its parameters by lower-case name; of a repeated parameter the first."""
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        quoted = match["quoted"]
        value = match["plain"].strip() if quoted is None else _ESCAPE.sub(r"\1", quoted)
        parameters.setdefault(match["name"].lower(), value)
    return header.partition(";")[0].strip().lower(), parameters


def text(parameters: Mapping[str, str], name: str) -> str | None:
    """Return a text parameter. ``name*`` (RFC 8187) takes precedence over ``name`` if it can be decoded."""
    extended = _extended(parameters.get(f"{name}*", ""))
    if extended is not None:
        return extended
    # ``name*`` may be the only value, although it is not encoded as RFC 8187 requires.
    plain = parameters.get(name, parameters.get(f"{name}*"))
    return None if plain is None else _as_utf8(plain)


def text_of_form(parameters: Mapping[str, str], name: str) -> str | None:
    """``text`` for a part of a form, in which browsers encode a quote and line breaks, and only these, as %22, %0D and
    %0A (HTML, "multipart/form-data encoding algorithm")."""
    value = text(parameters, name)
    if value is None or _extended(parameters.get(f"{name}*", "")) is not None:
        return value
    return _OF_A_FORM.sub(lambda match: chr(int(match[1], 16)), value)


def _extended(value: str) -> str | None:
    match = _EXTENDED.fullmatch(value)
    if match is None:
        return None
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeError:
        return None


def _as_utf8(value: str) -> str:
    """Decode a header as UTF-8, which most clients send, although it was decoded as Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
