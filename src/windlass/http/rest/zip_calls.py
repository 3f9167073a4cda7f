"""The calls that answer with a ZIP, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from windlass.http.rest.byte_call import BINARY, ByteCall, query

_ARCHIVE: dict[int, tuple[str, dict[str, Any]]] = {
    200: ("The archive, made while it is sent; its length is known", {"application/zip": {"schema": BINARY}})
}
_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": 1000},
        "reference": {"type": "string"},
        "filename": {"type": "string"},
    },
}

ZIP_CALLS: Sequence[ByteCall] = (
    *(
        ByteCall(
            method,
            "/files/zip",
            name,
            "Several files as one ZIP",
            _ARCHIVE if method == "GET" else {200: ("The headers of GET", {})},
            "Files",
            (
                query("ids", "Ids of files, separated by commas; their order is the archive's."),
                query("reference", "Instead of ids: all files with this reference."),
                query("filename", "What the archive is to be called."),
            ),
            description="Each must be a file that may be downloaded; else the answer is what its download would say.",
        )
        for method, name in (("GET", "zip_files"), ("HEAD", "check_zip_of_files"))
    ),
    ByteCall(
        "POST",
        "/files/zip",
        "zip_many_files",
        "Several files as one ZIP, where their ids are too long for a URL",
        _ARCHIVE,
        "Files",
        body={"application/json": {"schema": _BODY}},
    ),
)
