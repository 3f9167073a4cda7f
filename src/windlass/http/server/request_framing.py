"""Split the bytes of a connection into requests (RFC 9112): heads, bodies and trailers, each within limits. No I/O.

Only what cannot be read in two ways is accepted (request smuggling): otherwise a proxy that reads a request differently
would make one client's bytes another client's request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from windlass.kernel.problem_types import (
    BadRequest,
    BodyTooLarge,
    HeadTooLarge,
    HttpVersionNotSupported,
    RequestLineTooLong,
    TransferCodingNotSupported,
)

#: Bytes of the longest chunk-size line, with its extensions.
MAX_CHUNK_LINE = 1024
#: Empty lines before a request that are ignored (RFC 9112, 2.2).
MAX_EMPTY_LINES = 4

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_METHOD = re.compile(_TOKEN + rb"{1,40}")
_FIELD_NAME = re.compile(_TOKEN + rb"+")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.I | re.S)
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_LENGTH = re.compile(rb"[0-9]+")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """In bytes; ``lines`` counts header lines."""

    request_line: int = 8 * 1024
    line: int = 16 * 1024
    head: int = 64 * 1024
    lines: int = 100


@dataclass(frozen=True, slots=True)
class RequestHead:
    """``length``: None for a chunked body. Names of ``headers`` are in lower case; ``raw_path`` and ``query`` ASCII."""

    method: str
    raw_path: bytes
    query: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    length: int | None
    keep_alive: bool

    @property
    def path(self) -> str:
        path = self.raw_path.decode("ascii")
        return unquote(path) if "%" in path else path

    @property
    def expects_continue(self) -> bool:
        return self.version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self.headers
        )

    @property
    def is_websocket_handshake(self) -> bool:
        """A complete one (RFC 6455, 4.1). Any other Upgrade is ignored, as RFC 9110, 7.8 allows."""
        fields = dict(self.headers)
        return (
            self.method == "GET"
            and self.version == "1.1"
            and self.length == 0
            and fields.get(b"upgrade", b"").lower() == b"websocket"
            and b"upgrade" in _tokens(fields.get(b"connection", b""))
            and b"sec-websocket-key" in fields
            and fields.get(b"sec-websocket-version") == b"13"
        )


class RequestEnd:
    """The request that began last is complete."""


END = RequestEnd()
Event = RequestHead | bytes | RequestEnd


class RequestFraming:
    """The requests of one connection. Bytes after a complete request wait until ``feed`` is called again."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._data, self._at = b"", 0
        self._part: _Head | _Counted | _Chunked = _Head(limits)

    @property
    def is_between_requests(self) -> bool:
        """Whether nothing of a next request has been read."""
        return isinstance(self._part, _Head) and self._part.is_empty

    @property
    def is_in_head(self) -> bool:
        return isinstance(self._part, _Head) and not self._part.is_empty

    @property
    def has_pending(self) -> bool:
        return self._at < len(self._data)

    def hold(self, data: bytes) -> None:
        """Store bytes of a next request, which is not to be read yet."""
        self._data, self._at = self._data[self._at :] + data, 0

    def take_pending(self) -> bytes:
        """Remove and return the bytes after the last request, for another protocol."""
        pending, self._data, self._at = self._data[self._at :], b"", 0
        return pending

    @property
    def unread_body(self) -> int:
        """Bytes of the body that have not come yet; 0 where that is not known, or something else waits here."""
        return self._part.left if isinstance(self._part, _Counted) and not self.has_pending else 0

    def skip_body(self, size: int) -> bool:
        """Count bytes of the body that were read elsewhere; return whether the request is complete with them."""
        assert isinstance(self._part, _Counted)
        self._part.left -= size
        if self._part.left:
            return False
        self._part = _Head(self._limits)
        return True

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events of ``data``, at most to the end of one request; the pieces of a body are never empty. Raises a
        Problem for what breaks the rules or the limits; the connection must then be closed."""
        if self.has_pending:
            data, at = (self._data[self._at :] + data, 0) if data else (self._data, self._at)
        else:
            at = 0
        self._data, self._at = b"", 0
        while at < len(data):
            part = self._part
            event, at = part.feed(data, at)
            if isinstance(event, RequestHead):
                yield event
                if event.length == 0:
                    break
                self._part = _Chunked(self._limits) if event.length is None else _Counted(event.length)
            elif event:
                yield event
            if self._part.ended:
                break
        else:
            return
        self._data, self._at = data, at
        self._part = _Head(self._limits)
        yield END


class _Lines:
    """Collects the lines of one section, which end with CRLF and nothing else."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self.size = 0

    @property
    def partial(self) -> int:
        """Bytes of the line that has not ended."""
        return len(self._partial)

    def feed(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """The next line without its end, or None; and where to go on. Raises BadRequest."""
        end = data.find(b"\n", at)
        stop = end + 1 if end >= 0 else len(data)
        self.size += stop - at
        if end < 0:
            self._partial += data[at:]
            return None, stop
        line = bytes(self._partial) + data[at:end] if self._partial else data[at:end]
        self._partial.clear()
        if not line.endswith(b"\r"):
            raise BadRequest("A line of the request ends with LF alone; lines end with CR LF.")
        return line[:-1], stop


class _Head:
    ended = False

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._lines = _Lines()
        self._request_line: tuple[bytes, bytes, str] | None = None
        self._empty_lines = 0
        self._headers: list[tuple[bytes, bytes]] = []

    @property
    def is_empty(self) -> bool:
        return not self._lines.size

    def feed(self, data: bytes, at: int) -> tuple[RequestHead | None, int]:
        whole = self._read_whole(data, at) if self.is_empty else None
        return whole or self._read_line(data, at)

    def _read_whole(self, data: bytes, at: int) -> tuple[RequestHead, int] | None:
        """The fast path for a head that has arrived completely and is within the limits; None for any other."""
        limits, end = self._limits, data.find(b"\r\n\r\n", at, at + self._limits.head)
        if end <= at:
            return None
        lines = data[at:end].split(b"\r\n")
        if len(lines[0]) > limits.request_line or len(lines) > limits.lines + 1 or max(map(len, lines)) > limits.line:
            return None
        if not lines[0]:
            return None
        return _read_head(_read_request_line(lines[0]), [read_field(line) for line in lines[1:]]), end + 4

    def _read_line(self, data: bytes, at: int) -> tuple[RequestHead | None, int]:
        if self._request_line is None and not self._lines.partial:
            _must_begin_with_method(data[at])
        line, at = self._lines.feed(data, at)
        if self._request_line is None:
            if (self._lines.partial if line is None else len(line)) > self._limits.request_line:
                raise RequestLineTooLong(self._limits.request_line)
        else:
            _check_lines(self._limits, self._lines, line, len(self._headers))
        if line is None:
            return None, at
        if self._request_line is not None:
            if not line:
                return _read_head(self._request_line, self._headers), at
            self._headers.append(read_field(line))
        elif line:
            self._request_line = _read_request_line(line)
        else:
            self._empty_lines += 1
            if self._empty_lines > MAX_EMPTY_LINES:
                raise BadRequest("There are too many empty lines before the request.")
        return None, at


class _Counted:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self.left = length

    @property
    def ended(self) -> bool:
        return not self.left

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        size = min(self.left, len(data) - at)
        self.left -= size
        return (data if size == len(data) else data[at : at + size]), at + size


class _Chunked:
    """A chunked body (RFC 9112, 7.1). Extensions and trailers are checked and dropped."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self.ended = False
        self._left = 0
        self._lines = _Lines()
        self._trailers: _Lines | None = None
        self._trailer_count = 0
        self._after_data = False

    def feed(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What ``data`` contains of the body, in one piece, so that tiny chunks do not cost the application more."""
        pieces: list[bytes] = []
        while at < len(data) and not self.ended:
            if self._left:
                pieces.append(data[at : at + self._left])
                at += len(pieces[-1])
                self._left -= len(pieces[-1])
                self._after_data = not self._left
            elif self._trailers is not None:
                at = self._trailer(self._trailers, data, at)
            else:
                at = self._size_line(data, at)
        return b"".join(pieces), at

    def _size_line(self, data: bytes, at: int) -> int:
        line, at = self._lines.feed(data, at)
        if (self._lines.partial if line is None else len(line)) > MAX_CHUNK_LINE:
            raise BadRequest(f"A line with the size of a chunk has more than {MAX_CHUNK_LINE} bytes, the limit.")
        if line is None:
            return at
        if self._after_data:
            if line:
                raise BadRequest("A chunk is longer than its size says.")
            self._after_data = False
            return at
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise BadRequest("The size of a chunk is not a hexadecimal number.")
        self._left = int(match[1], 16)
        if not self._left:
            self._trailers = _Lines()
        return at

    def _trailer(self, lines: _Lines, data: bytes, at: int) -> int:
        line, at = lines.feed(data, at)
        _check_lines(self._limits, lines, line, self._trailer_count)
        if line == b"":
            self.ended = True
        elif line is not None:
            read_field(line)
            self._trailer_count += 1
        return at


def read_field(line: bytes) -> tuple[bytes, bytes]:
    """The name in lower case and the value of a header line. Raises BadRequest, also for a continuation line."""
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if line[:1] in (b" ", b"\t"):
        raise BadRequest("A header line begins with white space. Lines may not be continued (RFC 9112, 5.2).")
    if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        raise BadRequest("A header line is not a name, a colon and a value without control characters.")
    return name.lower(), value


def _must_begin_with_method(first: int) -> None:
    if first not in b"\r\n" and not re.match(_TOKEN, bytes((first,))):
        raise BadRequest("What came is no HTTP request. If this was TLS: the server speaks plain HTTP here.")


def _check_lines(limits: HeadLimits, lines: _Lines, line: bytes | None, before: int) -> None:
    size = lines.partial if line is None else len(line)
    if size > limits.line:
        raise HeadTooLarge(f"A header line has more than {limits.line} bytes, the limit.", limit=limits.line)
    if lines.size > limits.head:
        raise HeadTooLarge(
            f"The header lines have more than {limits.head} bytes together, the limit.", limit=limits.head
        )
    if line != b"" and size and before >= limits.lines:
        raise HeadTooLarge(f"There are more than {limits.lines} header lines, the limit.", limit=limits.lines)


def _read_head(request_line: tuple[bytes, bytes, str], headers: list[tuple[bytes, bytes]]) -> RequestHead:
    method, target, version = request_line
    authority, raw_path, query = _read_target(method, target)
    _check_host(headers, authority, version)
    connection = _tokens(b",".join(_values(headers, b"connection")))
    return RequestHead(
        method=method.decode("ascii"),
        raw_path=raw_path,
        query=query,
        version=version,
        headers=headers,
        length=_body_length(headers, version),
        keep_alive=version == "1.1" and b"close" not in connection,
    )


def _read_request_line(line: bytes) -> tuple[bytes, bytes, str]:
    """Method, target and version."""
    parts = line.split(b" ")
    version = _VERSION.fullmatch(parts[-1])
    if len(parts) != 3 or not _METHOD.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]) or not version:
        raise BadRequest("The request line is not a method, a target and an HTTP version with one space between them.")
    if version[1] != b"1":
        raise HttpVersionNotSupported("This server speaks HTTP/1.1.")
    return parts[0], parts[1], "1.0" if version[2] == b"0" else "1.1"


def _read_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """Authority (of an absolute target), path and query. Raw UTF-8 is taken as if it were percent-encoded."""
    absolute = _ABSOLUTE.fullmatch(target)
    authority, rest = (absolute[1], absolute[2] or b"/") if absolute else (None, target)
    if rest.startswith(b"?"):
        rest = b"/" + rest
    if not rest.startswith(b"/") and not (rest == b"*" and method == b"OPTIONS"):
        raise BadRequest("The target of the request is no path: it begins with a slash.")
    rest = _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], rest)
    path, _, query = rest.partition(b"#")[0].partition(b"?")
    return authority, path, query


def _check_host(headers: list[tuple[bytes, bytes]], authority: bytes | None, version: str) -> None:
    """One Host (RFC 9112, 3.2); the authority of an absolute target stands above it."""
    hosts = _values(headers, b"host")
    if len(hosts) > 1:
        raise BadRequest("The request has more than one Host field.")
    if not hosts and version == "1.1":
        raise BadRequest("The request has no Host field.")
    if any(not _HOST.fullmatch(host) for host in (*hosts, authority or b"")):
        raise BadRequest("The Host of the request is not a host name with an optional port.")
    if authority is not None:
        headers[:] = [(b"host", authority), *((name, value) for name, value in headers if name != b"host")]


def _body_length(headers: Sequence[tuple[bytes, bytes]], version: str) -> int | None:
    """Of the body, None where it is chunked (RFC 9112, 6.3)."""
    codings, lengths = _values(headers, b"transfer-encoding"), _values(headers, b"content-length")
    if codings:
        if lengths:
            raise BadRequest("The request has both Content-Length and Transfer-Encoding.")
        if version == "1.0":
            raise BadRequest("A request of HTTP/1.0 cannot have Transfer-Encoding.")
        _must_be_chunked(codings)
        return None
    if len(lengths) > 1:
        raise BadRequest("The request has more than one Content-Length.")
    if not lengths:
        return 0
    if not _LENGTH.fullmatch(lengths[0]):
        raise BadRequest("Content-Length is not a number of bytes in plain digits.")
    if len(lengths[0]) > 18:
        raise BodyTooLarge("Content-Length is larger than any body that can be taken.")
    return int(lengths[0])


def _must_be_chunked(codings: Sequence[bytes]) -> None:
    if len(codings) == 1 and codings[0].lower() == b"chunked":
        return
    every = [coding.strip(b" \t").lower() for coding in b",".join(codings).split(b",")]
    known = {b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"br", b"zstd"}
    if every[-1] == b"chunked" and all(coding in known for coding in every[:-1]):
        raise TransferCodingNotSupported("The only accepted transfer coding is chunked.")
    raise BadRequest("Transfer-Encoding is something else than chunked.")


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t").lower() for token in value.split(b",")]
