"""Client file names: harmless once cleaned, and the same name again after the trip through a header."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.filenames import MAX_BYTES, clean, content_disposition, extension

anything = st.text(st.characters(), max_size=400)
long_names = st.builds(
    lambda stem, times, ending: stem * times + ending,
    st.text(min_size=1, max_size=5),
    st.integers(40, 120),
    st.text(max_size=20),
)


@pytest.mark.parametrize(
    ("given_name", "cleaned"),
    [
        ("report.pdf", "report.pdf"),
        ("a b.txt", "a b.txt"),
        ("  spaced.txt  ", "spaced.txt"),
        ("dir/sub/a.txt", "a.txt"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nb\0c\x7f.txt", "abc.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("zero\u200bwidth\ufeff.txt", "zerowidth.txt"),
        ("u\u0308ber.txt", "\u00fcber.txt"),
        ("lone\ud800.txt", "lone.txt"),
        (".htaccess", ".htaccess"),
        ("日本語.txt", "日本語.txt"),
        ("😀.png", "😀.png"),
    ],
)
def test_what_a_name_becomes(given_name: str, cleaned: str) -> None:
    assert clean(given_name) == cleaned


@pytest.mark.parametrize("name", [None, "", " ", ".", "..", "...", "/", "a/", "dir\\", "\0", "\u202e", "\r\n", "../.."])
def test_what_says_nothing_becomes_unnamed(name: str | None) -> None:
    assert clean(name) == "unnamed"


def test_a_long_name_keeps_its_extension() -> None:
    assert clean("a" * 300 + ".jpeg") == "a" * 250 + ".jpeg"
    assert clean("ü" * 200 + ".jpeg") == "ü" * 125 + ".jpeg"
    assert clean("a" * 300 + "." + "b" * 300) == "a" * 255
    assert clean("a" * 249 + " " + "b" * 50 + ".jpeg") == "a" * 249 + ".jpeg"


@given(st.one_of(anything, long_names))
def test_a_cleaned_name_is_one_visible_segment(name: str) -> None:
    """Any text: short enough to be stored, no separator, nothing unseen, no way up; cleaned for good."""
    cleaned = clean(name)
    assert 0 < len(cleaned.encode()) <= MAX_BYTES
    assert not set(cleaned) & set("/\\\r\n\0")
    assert not [c for c in cleaned if unicodedata.category(c)[0] == "C"]
    assert cleaned not in (".", "..")
    assert clean(cleaned) == cleaned


@given(st.one_of(anything, long_names), st.sampled_from(["inline", "attachment"]))
def test_a_header_gives_the_name_back_and_nothing_else(name: str, kind: str) -> None:
    """Any text, even uncleaned: one ASCII line, one quoted fallback, and the very name in ``filename*``."""
    value = content_disposition(kind, name)
    found = re.fullmatch(r"(\w+); filename=\"([ -~]*)\"(?:; filename\*=UTF-8''([\w.~%-]*))?", value, re.ASCII)
    assert found, value
    assert found[1] == kind
    assert not set(found[2]) & set('"\\%;')
    told = found[2] if found[3] is None else unquote(found[3])
    assert told == name.encode("utf-8", "replace").decode()


EXTENSIONS = {"Report.PDF": "pdf", "a.tar.gz": "gz", ".htaccess": "", "none": "", "dot.": "", "": "", "a.JPÈG": "jpèg"}


@pytest.mark.parametrize(("name", "found"), EXTENSIONS.items())
def test_extension(name: str, found: str) -> None:
    assert extension(name) == found
