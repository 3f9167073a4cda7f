"""HTTP over raw sockets, for heads, incomplete bodies and silence; and the rows and objects that a server stored."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx
import psutil

if TYPE_CHECKING:
    from tests.process.conftest import ServerProcess

T = TypeVar("T")

MB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}
PATCH = TUS | {"Content-Type": "application/offset+octet-stream"}
#: Seconds after which a test fails that waits for something.
TIMEOUT = 30.0
#: The pauses between two looks at what a test waits for (seconds).
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.1


@dataclass(frozen=True)
class Reply:
    """One reply. ``got_100_continue``: a 100 Continue came before it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    got_100_continue: bool


class Wire:
    """One connection, on which a test can send any bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Send a request's head and the beginning of its body in one call."""
        lines = {"Host": "127.0.0.1"} | dict(headers or {})
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode() + body)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a body with Transfer-Encoding: chunked; an empty chunk ends the body."""
        self.socket.sendall(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def wait_until_read(self) -> None:
        """Wait until the server has read everything that was sent, so that the request has started."""
        if not Path("/proc/net/tcp").exists():
            time.sleep(0.5)  # no other system shows the receive queue of the server's end
            return
        eventually(lambda: _unread_bytes(self.socket.getpeername()[1], self.socket.getsockname()[1]) == 0)

    def read_reply(self) -> Reply:
        """Read the next reply to its last byte. Raises EOFError or ConnectionError if the connection is closed."""
        got_100_continue = False
        status, headers = self._reply_head()
        if status == 100:
            got_100_continue = True
            status, headers = self._reply_head()
        return Reply(status, headers, self._reader.read(int(headers.get("content-length", 0))), got_100_continue)

    def interim(self) -> tuple[int, dict[str, str]]:
        """Read the next interim response: its status and headers."""
        status, headers = self._reply_head()
        assert 100 <= status < 200, status
        return status, headers

    def reply_status(self) -> int:
        """Read the head of a reply whose body may not end, and return its status."""
        return self._reply_head()[0]

    def is_closed_by_server(self) -> bool:
        """Return whether the server closes the connection without further bytes."""
        try:
            return self._reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def _reply_head(self) -> tuple[int, dict[str, str]]:
        first = self._reader.readline()
        if not first:
            raise EOFError("the server closed the connection without a reply")
        headers: dict[str, str] = {}
        while (line := self._reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(first.split()[1]), headers


def _unread_bytes(server_port: int, client_port: int) -> int | None:
    """Return the length of the receive queue that Linux shows for the server's end, None before there is one."""
    local, remote = f":{server_port:04X}", f":{client_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(local) and fields[2].endswith(remote):
            return int(fields[4].partition(":")[2], 16)
    return None


#: The ids of files, the ids of active uploads, and the objects.
Snapshot = tuple[set[str], set[str], set[Path]]


class StoredData:
    """The rows of a server's database, which is only read, and the objects of its local store."""

    def __init__(self, server: ServerProcess) -> None:
        self.home = server.home
        self._database = server.home / "windlass.sqlite3"
        self._objects = server.home / "media" / "objects"

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with contextlib.closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=30)) as found:
            found.row_factory = sqlite3.Row
            return found.execute(query, values).fetchall()

    def is_locked(self) -> bool:
        """Return whether a process is within a write transaction."""
        with contextlib.closing(sqlite3.connect(self._database, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def scalar(self, query: str, *values: object) -> Any:
        """Return the first column of the first row, or None if there is no row."""
        rows = self.rows(query, *values)
        return rows[0][0] if rows else None

    def session(self, upload: str) -> sqlite3.Row:
        """Return the row of an upload session, by its path or id."""
        return self.rows("SELECT * FROM windlass_files_uploadsession WHERE id = ?", database_id(upload))[0]

    def upload_paths(self, filename: str) -> list[str]:
        """Return the paths of the uploads with this file name."""
        found = self.rows("SELECT id FROM windlass_files_uploadsession WHERE filename = ?", filename)
        return [f"/uploads/{UUID(row[0])}" for row in found]

    def file_count(self) -> int:
        return int(self.scalar("SELECT count(*) FROM windlass_files_fileasset"))

    def active_uploads(self) -> int:
        return int(self.scalar("SELECT count(*) FROM windlass_files_uploadsession WHERE status = 'active'"))

    def objects(self) -> set[Path]:
        # os.walk passes over a directory that the server removes while it is read; rglob does not.
        return {Path(folder, name) for folder, _, names in os.walk(self._objects) for name in names}

    def object_path(self, upload: str) -> Path:
        name = str(UUID(database_id(upload)))
        return self._objects / name[:2] / name

    def snapshot(self) -> Snapshot:
        files, active = "windlass_files_fileasset", "windlass_files_uploadsession WHERE status = 'active'"
        return self._ids(files), self._ids(active), self.objects()

    def added_since(self, before: Snapshot) -> list[str]:
        """Return what has been added since the snapshot: nothing after a request that stored nothing.

        Something else may have gone meanwhile: equal content of earlier files is stored once in the end, and uploads
        that other tests have left end.
        """
        files, active, objects = self.snapshot()
        more = [f"file {each}" for each in files - before[0]]
        more += [f"active upload {each}" for each in active - before[1]]
        return more + [str(path) for path in objects - before[2]]

    def _ids(self, table: str) -> set[str]:
        return {row[0] for row in self.rows(f"SELECT id FROM {table}")}


def database_id(path: str) -> str:
    """Return the id at the end of a path, or the id itself, as the database stores it."""
    return UUID(path.rstrip("/").rpartition("/")[2]).hex


def eventually(condition: Callable[[], T], *, within: float = TIMEOUT, every: float | None = None) -> T:
    """Return the first true value of ``condition``, which is called every so many seconds; by default after pauses that
    grow to LONGEST_PAUSE: a condition that asks the server takes processor time from what it waits for."""
    deadline, pause = time.monotonic() + within, every or SHORTEST_PAUSE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {condition}"
        time.sleep(pause)
        pause = every or min(1.3 * pause, LONGEST_PAUSE)
    return value


def settled_memory(process: psutil.Process) -> int:
    """Return the resident bytes of a process once they have grown by less than 1 MB in two seconds."""
    memory = int(process.memory_info().rss)

    def stopped_growing() -> bool:
        nonlocal memory
        before, memory = memory, int(process.memory_info().rss)
        return memory - before < MB

    eventually(stopped_growing, every=2.0)
    return memory


def connect(server: ServerProcess, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=TIMEOUT, trust_env=False, **options)


def metadata(**values: str | bytes) -> dict[str, str]:
    """An Upload-Metadata header."""
    pairs = {key: value.encode() if isinstance(value, str) else value for key, value in values.items()}
    return {"Upload-Metadata": ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs.items())}


def create(http: httpx.Client, size: int, headers: Mapping[str, str] | None = None) -> str:
    """Create a tus upload and return its path."""
    created = http.post("/files/", headers=TUS | {"Upload-Length": str(size)} | dict(headers or {}))
    assert created.status_code == 201, created.text
    return str(created.headers["Location"])


def patch(http: httpx.Client, path: str, offset: int, content: Any, **headers: str) -> httpx.Response:
    return http.patch(path, headers=PATCH | {"Upload-Offset": str(offset)} | headers, content=content)


def offset(http: httpx.Client, path: str) -> int:
    """Return the upload's offset."""
    reply = http.head(path, headers=TUS)
    assert reply.status_code == 200, reply
    return int(reply.headers["Upload-Offset"])


def offset_after_restart(http: httpx.Client, path: str) -> int:
    """Return the upload's offset as soon as a restarted server answers."""

    def ask() -> httpx.Response | None:
        with contextlib.suppress(httpx.TransportError):
            return http.head(path, headers=TUS)
        return None

    said = eventually(ask)
    assert said.status_code == 200
    return int(said.headers["Upload-Offset"])


def wait_until_processed(http: httpx.Client, file: str) -> dict[str, Any]:
    """Return the record of a file once its processing has ended; ``file`` is its id or path."""
    path = f"/files/{UUID(database_id(file))}/"

    def look() -> dict[str, Any] | None:
        record: dict[str, Any] = http.get(path).json()
        return record if record["status"] not in {"PENDING", "PROCESSING"} else None

    return eventually(look, within=60)


def download_when_ready(http: httpx.Client, upload: str) -> bytes:
    """Return the bytes of a complete upload as they are served once its processing has ended."""
    wait_until_processed(http, http.get(upload, headers={"Accept": "application/json"}).json()["file_id"])
    return http.get(upload).content


def file_id_of(http: httpx.Client, upload: str) -> str:
    """Return the id of the file that a complete upload has become."""
    return str(http.get(upload, headers={"Accept": "application/json"}).json()["file_id"])
