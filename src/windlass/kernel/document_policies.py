"""Headers that limit what a browser does with a reply: Content-Security-Policy (CSP 3), Cross-Origin-Resource-Policy
(Fetch), Cross-Origin-Opener-Policy (HTML), Permissions-Policy and Referrer-Policy.

Three kinds of replies have three policies. Data (JSON, problems, events) may load nothing. Pages load scripts, styles
and pictures of their own origin, and have nothing inline, so that they need no nonces. Stored objects are in a sandbox.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: For replies that are not pages: if a browser shows one, it loads and runs nothing.
DATA_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: For scripts and styles. As documents they are texts; what they may do in a page is decided by the page's policy.
#: It is short because it is sent with dozens of files for each page.
PART_POLICY = "default-src 'none'"
#: For bytes of clients: a document in them has an origin of its own, without scripts, forms and popups.
STORED_OBJECT_POLICY = "sandbox"

_SAME_ORIGIN = "same-origin"
_UNUSED_FEATURES = ("camera", "display-capture", "geolocation", "microphone", "midi", "payment", "serial", "usb")

#: For every reply that does not set them itself.
REPLY_HEADERS = {"Referrer-Policy": _SAME_ORIGIN, "Cross-Origin-Resource-Policy": _SAME_ORIGIN}
#: For pages besides.
PAGE_HEADERS = {
    "Cross-Origin-Opener-Policy": _SAME_ORIGIN,
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _UNUSED_FEATURES),
}
#: Pages of any site may show stored objects as pictures and videos: what a caller may read is decided by credentials.
STORED_OBJECT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": STORED_OBJECT_POLICY,
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def page_policy(*media_urls: str) -> str:
    """The policy of a page whose pictures and recordings come from its own origin and from those of ``media_urls``;
    empty ones are left out."""
    others = (urlsplit(url) for url in media_urls)
    origins = " ".join(dict.fromkeys(["'self'", *(f"{url.scheme}://{url.netloc}" for url in others if url.netloc)]))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"img-src {origins} blob: data:; media-src {origins} blob:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
