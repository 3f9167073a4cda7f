"""The rate of all uploads together, by which hashing is given up."""

from __future__ import annotations

from windlass.receiving.receive_rate import MEASURED_BYTES, VALID_SECONDS, ReceiveRate

PIECE = MEASURED_BYTES // 16


def test_it_is_that_of_the_last_bytes_however_long_nothing_came_before() -> None:
    rate = ReceiveRate()
    rate.add(PIECE, 100.0)
    assert rate.at(100.0) == 0, "nothing is known yet"
    for number in range(1, 17):
        rate.add(PIECE, 1000.0 + number / 64)
    assert rate.at(1000.25) == 0, "the first piece after a pause began to come nobody knows when"
    rate.add(PIECE, 1000 + 17 / 64)
    assert rate.at(1000 + 17 / 64) == MEASURED_BYTES * 4


def test_it_is_forgotten_when_nothing_comes_any_more() -> None:
    rate = ReceiveRate()
    for number in range(17):
        rate.add(PIECE, number / 64)
    assert rate.at(0.25 + VALID_SECONDS) == MEASURED_BYTES * 4
    assert rate.at(0.3 + VALID_SECONDS) == 0


def test_slow_uploads_are_slow_however_many_pieces_come() -> None:
    rate = ReceiveRate()
    for number in range(1, 400):
        rate.add(PIECE, number / 16)
    assert rate.at(399 / 16) == PIECE * 16
