"""Vectors as arrays, and as the bytes that are stored: little-endian numbers of 16 bits, which rank as 32 bits do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
_STORED = np.dtype("<f2")


def normalized(vectors: Vectors) -> Vectors:
    """Vectors of length 1, so that their product is the cosine of their angle."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


def stored(vector: Vectors) -> bytes:
    return vector.astype(_STORED).tobytes()


def loaded(rows: Sequence[bytes], dimensions: int) -> Vectors:
    """The vectors of stored ones, in order."""
    result: Vectors = np.frombuffer(b"".join(rows), dtype=_STORED).reshape(-1, dimensions).astype(np.float32)
    return result
