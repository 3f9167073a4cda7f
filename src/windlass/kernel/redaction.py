"""Remove credentials from texts that are logged."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: URL parameters whose values are credentials or identify one.
_SECRET_PARAMETERS = frozenset(
    {"access_token", "grant", "jwt", "key", "password", "secret", "signature", "ticket", "token"}
    | {"x-amz-credential", "x-amz-security-token", "x-amz-signature"}
)
_PARAMETER = re.compile(r"(?<=[?&;])([^=&;\s\"']+)=([^&;\s\"']+)")
#: Percent-encoded text, such as the path of a request.
_ENCODED = re.compile(r"[^\s\"'<>]*%[0-9A-Fa-f]{2}[^\s\"'<>]*")

_SECRETS = (
    re.compile(r"(?<=://)[^/@\s]*(?=@)"),  # user:password@ of a URL
    re.compile(r"(?<=[Bb]earer )\S+"),
    re.compile(r"(?<![A-Za-z0-9])wl[a-z]?_[A-Za-z0-9_.-]{8,}"),  # our own API tokens, grants and the like
    re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),  # JSON Web Tokens
    re.compile(r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]{8,}"),  # secrets of webhooks
)


def without_secrets(text: str) -> str:
    """Return ``text`` with ``***`` in place of each credential, however its URL is encoded."""
    shown = _PARAMETER.sub(_hide_parameter, text)
    for pattern in _SECRETS:
        shown = pattern.sub("***", shown)
    return _ENCODED.sub(_hide_encoded, shown)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}=***" if unquote(found[1]).strip().lower() in _SECRET_PARAMETERS else found[0]


def _hide_encoded(found: re.Match[str]) -> str:
    """Return text that contains a credential decoded and without it; other text unchanged."""
    decoded = unquote(found[0])
    hidden = decoded
    for pattern in _SECRETS:
        hidden = pattern.sub("***", hidden)
    return found[0] if hidden == decoded else hidden
