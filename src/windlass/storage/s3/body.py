"""The bytes of one request."""

from __future__ import annotations

from collections.abc import Sequence

from windlass.storage.contract import Buffer


class Body(bytearray):
    """Goes to the socket in one piece, where botocore and urllib3 would send ``bytes`` in blocks of 16 KiB.

    botocore writes each request into the log at level debug, and no log may carry what is in a file.
    """

    @classmethod
    def of(cls, data: Buffer) -> Body:
        return data if isinstance(data, Body) else cls(data)

    @classmethod
    def joined(cls, buffers: Sequence[Buffer]) -> Body:
        body, at = cls(sum(len(buffer) for buffer in buffers)), 0
        with memoryview(body) as view:
            for buffer in buffers:
                view[at : at + len(buffer)] = buffer
                at += len(buffer)
        return body

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__
