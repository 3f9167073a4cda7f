"""The version, extensions and algorithms that are announced. An extension is listed once all of it works.

checksum-trailer is missing: the HTTP server does not pass trailers on (docs/decisions/0016-tus-extensions.md).
"""

from __future__ import annotations

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
    "concatenation-unfinished",
)
#: In the specification's spelling, which is also that of protocols.digests.
CHECKSUM_ALGORITHMS = ("sha1", "sha256", "sha512", "md5", "crc32")
PARTIAL = "partial"
