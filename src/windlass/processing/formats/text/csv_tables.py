"""Facts of CSV and similar tables: delimiter, columns, rows. One row is held at a time, up to a limit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from windlass.processing.formats.read_limits import MB, shorten

DELIMITERS = ",;\t|"
MOST_NAMES = 100
LONGEST_LINE = 8 * MB
_LONGEST_FIELD = MB
_SAMPLE_ROWS = 50


@dataclass(slots=True)
class Table:
    """The facts of one table. ``read`` takes the text in pieces; the first piece decides the delimiter."""

    delimiter: str = ""
    widths: Counter[int] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    rows: int = 0
    error: str = ""

    def read(self, texts: Iterable[str]) -> None:
        csv.field_size_limit(_LONGEST_FIELD)
        pieces = iter(texts)
        head = next(pieces, "")
        self.delimiter = _delimiter(head)
        try:
            for row in csv.reader(_lines(chain((head,), pieces)), delimiter=self.delimiter):
                self._add(row)
        except csv.Error as error:
            self.error = f"row {self.rows + 1}: {error}"

    def _add(self, row: list[str]) -> None:
        if not row:
            return
        if self.rows == 0:
            self.first = [shorten(cell, 100) for cell in row[:MOST_NAMES]]
        self.rows += 1
        if len(self.widths) < 1000 or len(row) in self.widths:
            self.widths[len(row)] += 1

    def facts(self) -> dict[str, Any]:
        has_header = _is_header(self.first)
        facts = {
            "delimiter": self.delimiter,
            "columns": self.widths.most_common(1)[0][0] if self.widths else 0,
            "rows": self.rows - has_header,
            "consistent": len(self.widths) <= 1 and not self.error,
        }
        return facts | ({"header": self.first} if has_header else {})


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield lines with their ends. Raises csv.Error for one longer than LONGEST_LINE."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")  # one line is joined at most LONGEST_LINE / BLOCK times
        for line in whole:
            yield line + "\n"
        if len(rest) > LONGEST_LINE:
            raise csv.Error(f"a line has more than {LONGEST_LINE} characters")
    if rest:
        yield rest


def _delimiter(head: str) -> str:
    """Return the delimiter that splits most of the first rows into one number of columns, then the larger number."""
    lines = head.split("\n")[:_SAMPLE_ROWS]
    whole = [line[:65536] for line in (lines[:-1] or lines)]

    def score(delimiter: str) -> tuple[float, int]:
        widths: Counter[int] = Counter()
        try:
            for row in islice(csv.reader(whole, delimiter=delimiter), _SAMPLE_ROWS):
                widths[len(row)] += bool(row)
        except csv.Error:
            return 0, 0
        width, times = widths.most_common(1)[0] if widths else (0, 0)
        return (times / max(sum(widths.values()), 1), width) if width > 1 else (0, 0)

    return max(DELIMITERS, key=score)


def _is_header(row: list[str]) -> bool:
    """Whether the cells are names: none empty, none a number, none twice."""
    return bool(row) and all(row) and len(set(row)) == len(row) and not any(_is_number(cell) for cell in row)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "").strip("+-% ").isdecimal()
