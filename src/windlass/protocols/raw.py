"""Raw uploads: the body is the file. ``curl -T``, ``fetch(url, {body: file})``."""

from __future__ import annotations

from windlass.kernel import filenames
from windlass.kernel.problem_types import BadRequest, MethodNotAllowed
from windlass.protocols import description_fields, header_parameters, media_types
from windlass.protocols.intents import Create, Description, Head
from windlass.protocols.request_heads import body_length, effective_method, refuse_content_encoding

#: The type that ``curl --data-binary`` sends for any file.
_CURL_DEFAULT = "application/x-www-form-urlencoded"


def parse(head: Head, name_in_path: str | None) -> Create:
    """``name_in_path`` is the percent-decoded last segment of ``PUT /files/{name}``, or None. Raises BadRequest,
    MethodNotAllowed, UnsupportedMediaType."""
    method = effective_method(head)
    if method not in {"POST", "PUT"}:
        raise MethodNotAllowed(
            f"{method[:20]!r} does not send a file; POST and PUT do.", headers={"Allow": "POST, PUT"}
        )
    refuse_content_encoding(head)
    if "content-range" in head.headers:  # the rest of a file, as ``curl -C - -T`` sends it (RFC 9110, 14.5)
        raise BadRequest(
            "A body with Content-Range is a part of a file. Send the whole file, or resume uploads with tus 1.0.0."
        )
    length = body_length(head)
    description = Description(
        filename=name_of(head, name_in_path), declared_type=type_of(head), **description_fields.from_query(head.query)
    )
    return Create(description, size=length, has_body=True, is_whole_file=True, body_length=length)


def name_of(head: Head, name_in_path: str | None) -> str:
    """Return the file's name from the path, Content-Disposition or the query."""
    _, parameters = header_parameters.parse(head.headers.get("content-disposition", ""))
    in_header = header_parameters.text(parameters, "filename")
    return filenames.clean(name_in_path or in_header or head.query.get("filename"))


def type_of(head: Head) -> str | None:
    """Return the type that the request declares for its body, if that says anything."""
    declared = media_types.declared(head.headers.get("content-type"))
    return None if declared == _CURL_DEFAULT else declared
