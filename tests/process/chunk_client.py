"""A minimal client of the chunk API."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import httpx

API = "/api/v1/upload"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class ChunkUpload:
    """One upload in chunks, with its content."""

    http: httpx.Client
    data: bytes
    chunk_size: int
    id: str
    total: int

    @classmethod
    def create(cls, http: httpx.Client, data: bytes, chunk_size: int, **fields: Any) -> ChunkUpload:
        asked = {"filename": "a.bin", "total_size": len(data), "mime_type": "", "chunk_size": chunk_size} | fields
        made = http.post(f"{API}/init", json=asked)
        assert made.status_code == 201, made.text
        told = made.json()
        assert told["chunk_size"] == chunk_size
        assert told["status"] == "active"
        assert set(told) == {"upload_id", "chunk_size", "total_chunks", "expires_at", "status"}
        return cls(http, data, chunk_size, told["upload_id"], told["total_chunks"])

    def chunk(self, index: int) -> bytes:
        return self.data[index * self.chunk_size : (index + 1) * self.chunk_size]

    def put(self, index: int, content: Any = None, **headers: str) -> httpx.Response:
        """Send a chunk as raw bytes."""
        body = self.chunk(index) if content is None else content
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.put(f"{API}/{self.id}/chunks/{index}", content=body, headers=named)

    def send(self, index: int, content: bytes | None = None, **fields: Any) -> httpx.Response:
        """Send a chunk as base64 in JSON."""
        data = base64.b64encode(self.chunk(index) if content is None else content).decode()
        asked = {"upload_id": self.id, "chunk_index": index, "chunk_data": data} | fields
        return self.http.post(f"{API}/chunk", json=asked)

    def status(self) -> dict[str, Any]:
        answer = self.http.get(f"{API}/status/{self.id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def complete(self) -> httpx.Response:
        return self.http.post(f"{API}/complete", json={"upload_id": self.id})

    def cancel(self) -> httpx.Response:
        return self.http.post(f"{API}/cancel", json={"upload_id": self.id})


def problem(answer: httpx.Response, status: int, slug: str, **members: Any) -> dict[str, Any]:
    """Check that the reply is this problem; returns its JSON."""
    found: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert found["type"] == f"/problems/{slug}", found
    assert {name: found.get(name) for name in members} == members
    return found
