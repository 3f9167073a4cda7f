"""Whether, and over how many connections, a large file is sent in parts: decided by the rates that requests had.

Each connection of a long or lossy way to the server is slower than the link; then a few together fill it. On a short
way one connection is as fast, and parts would be copied on the server for nothing.
"""

from __future__ import annotations

from itertools import pairwise

Part = tuple[int, int]

#: A part is not smaller: each costs three requests and a row.
LEAST_PART_BYTES = 8 * 1024 * 1024
#: Smaller files are sent by one connection.
LEAST_FILE_BYTES = 64 * 1024 * 1024
#: What one connection sends before its rate is known. It is sent again if parts are worth a try.
TRIAL_BYTES = 4 * 1024 * 1024
#: Seconds that one connection would still need: less is not worth a try.
LONG_TRANSFER_SECONDS = 10.0
#: Connections of the first parts, and the most. More take a server's connections from others.
FIRST_CONNECTIONS, MOST_CONNECTIONS = 2, 8
#: Twice as many connections are kept if all together are faster by this factor.
GAIN = 1.25
#: Parts that follow those by whose rates the number of connections is decided.
LATER_PARTS = 24


def parts_of(size: int, most: int) -> list[Part]:
    """Return start and end of at most ``most`` parts of about the same size; one where the file is small."""
    count = max(1, min(most, size // LEAST_PART_BYTES))
    borders = [size * number // count for number in range(count + 1)]
    return list(pairwise(borders))


def automatic_parts(size: int) -> list[Part]:
    """Return the parts of a file of at least ``LEAST_FILE_BYTES``: small ones first, whose rates are compared.

    They depend on the size alone, so that a later run resumes them.
    """
    compared = min(2 * MOST_CONNECTIONS - FIRST_CONNECTIONS, size // LEAST_PART_BYTES - 1)
    start = compared * LEAST_PART_BYTES
    first = [(number * LEAST_PART_BYTES, (number + 1) * LEAST_PART_BYTES) for number in range(compared)]
    return first + [(start + low, start + high) for low, high in parts_of(size - start, LATER_PARTS)]


def is_worth_parts(remaining: int, rate: float | None) -> bool:
    """Whether parts are worth a try for so many bytes, at one connection's bytes per second. Not without a rate."""
    return rate is not None and remaining > rate * LONG_TRANSFER_SECONDS


class ConnectionCount:
    """How many connections send parts at the same time: twice as many, as long as the whole gains from it."""

    def __init__(self, rate: float | None) -> None:
        """``rate``: bytes per second of one connection, if that was measured."""
        self._before, self._rate = 1, rate
        self.current = FIRST_CONNECTIONS
        self.is_settled = False

    def note(self, rates: list[float | None]) -> None:
        """Compare a round in which each of ``current`` connections sent one part, with the part's rate.

        A part that an earlier run had sent has none: the round is repeated.
        """
        measured = [rate for rate in rates if rate is not None]
        if self.is_settled or len(measured) < self.current:
            return
        total = sum(measured)
        if self._rate is not None and total < self._rate * GAIN:
            self.current, self.is_settled = self._before, True
            return
        self._before, self._rate = self.current, total
        self.is_settled = self.current == MOST_CONNECTIONS
        self.current = min(2 * self.current, MOST_CONNECTIONS)


class FixedCount(ConnectionCount):
    """As many connections as the caller has chosen."""

    def __init__(self, connections: int) -> None:
        super().__init__(None)
        self.current, self.is_settled = connections, True
