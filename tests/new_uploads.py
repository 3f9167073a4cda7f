"""Descriptions of new uploads, as receiving makes them. Needs Django."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from windlass.files import api as files
from windlass.storage.registry import store


def new_upload(owner: str, size: int | None, **changes: Any) -> files.NewUpload:
    """Describe a tus upload with the profile `default` into the default store; ``changes`` are fields."""
    made = files.NewUpload(
        owner=owner,
        dialect="tus",
        profile=files.profile("default"),
        filename="a.bin",
        declared_type=None,
        reference=None,
        metadata={},
        client_metadata=None,
        expected_sha256=None,
        size=size,
        store=store().name,
    )
    return replace(made, **changes)
