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
        created = http.post(f"{API}/init", json=asked)
        assert created.status_code == 201, created.text
        document = created.json()
        assert document["chunk_size"] == chunk_size
        assert document["status"] == "active"
        assert set(document) == {"upload_id", "chunk_size", "total_chunks", "expires_at", "status"}
        return cls(http, data, chunk_size, document["upload_id"], document["total_chunks"])

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
        document: dict[str, Any] = answer.json()
        return document

    def complete(self) -> httpx.Response:
        return self.http.post(f"{API}/complete", json={"upload_id": self.id})

    def cancel(self) -> httpx.Response:
        return self.http.post(f"{API}/cancel", json={"upload_id": self.id})


def problem(answer: httpx.Response, status: int, slug: str, **members: Any) -> dict[str, Any]:
    """Check that the reply is this problem; returns its JSON."""
    document: dict[str, Any] = answer.json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["type"] == f"/problems/{slug}", document
    assert {name: document.get(name) for name in members} == members
    return document
