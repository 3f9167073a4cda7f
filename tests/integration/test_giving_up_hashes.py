"""While all clients together are fast, an upload that may do without its hash gives it up; a slow client's does not."""

from __future__ import annotations

import asyncio

import pytest

from windlass.receiving import transfer as transfers
from windlass.receiving.body import BytesInMemory
from windlass.receiving.digest import RunningDigest
from windlass.receiving.receive_rate import MEASURED_BYTES, ReceiveRate
from windlass.receiving.transfer import Transfer

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("seconds", "must_hash", "is_hashed"),
    [
        pytest.param(0.01, False, False, id="a fast client"),
        pytest.param(0.01, True, True, id="a fast client whose digest is needed"),
        pytest.param(10.0, False, True, id="a slow client"),
    ],
)
def test_hashing_is_given_up(monkeypatch: pytest.MonkeyPatch, seconds: float, must_hash: bool, is_hashed: bool) -> None:
    """The clock stands at ``seconds`` since the upload began, of which 2 MiB have come, beside many others' bytes."""
    fast = ReceiveRate()
    for number in range(34):
        fast.add(MEASURED_BYTES // 16, seconds - 0.034 + number / 1000)
    clock = iter([0.0])
    monkeypatch.setattr(transfers, "receive_rate", fast)
    monkeypatch.setattr(transfers, "monotonic", lambda: next(clock, seconds))
    content = bytes(2 * MIB)
    written = bytearray()

    def write(offset: int, buffers: object) -> None:
        written.extend(content)

    async def run() -> Transfer:
        transfer = Transfer(
            BytesInMemory(b""), write, offset=0, limit=4 * MIB, digest=RunningDigest(), must_hash=must_hash
        )
        await transfer.run([content])
        return transfer

    transfer = asyncio.run(run())
    assert (transfer.written, bytes(written)) == (2 * MIB, content)
    assert (transfer.digest is not None) is is_hashed
