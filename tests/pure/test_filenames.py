"""Names of files: harmless after cleaning, and unchanged by a header."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.filenames import (
    MAX_BYTES,
    add_suffix,
    clean,
    comparable,
    content_disposition,
    extension,
    split_extension,
    truncate,
)

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
        *[(f"gpj.{control}exe", "gpj.exe") for control in "\u061c\u200e\u200f\u202a\u202d\u202e\u2066\u2068\u2069"],
        ("line\u2028\u2029\x85.txt", "line.txt"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.pdf",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.pdf",
        ),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467.png", "\U0001f468\u200d\U0001f469\u200d\U0001f467.png"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f.png", "\U0001f3f4\U000e0067\U000e0062\U000e007f.png"),
        ("\U0001fae8.txt", "\U0001fae8.txt"),
        ("\u2764\ufe0f.txt", "\u2764\ufe0f.txt"),
        ("\uf8ff.txt", "\uf8ff.txt"),
        ("zero\u200bwidth\ufeff.txt", "zero\u200bwidth\ufeff.txt"),
        ("so\u00adft.txt", "so\u00adft.txt"),
        ("u\u0308ber.txt", "\u00fcber.txt"),
        ("lone\ud800.txt", "lone.txt"),
        (".htaccess", ".htaccess"),
        ("日本語.txt", "日本語.txt"),
        ("😀.png", "😀.png"),
    ],
)
def test_a_name_is_cleaned(given_name: str, cleaned: str) -> None:
    assert clean(given_name) == cleaned


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        " ",
        ".",
        "..",
        "...",
        "/",
        "a/",
        "dir\\",
        "\0",
        "\u202e",
        "\r\n",
        "../..",
        *["\u200b", "\ufeff", "\u200d\u200d", ".\u200b.", "\u00a0", "\u3000", "\ud800"],
    ],
)
def test_an_invisible_name_becomes_unnamed(name: str | None) -> None:
    assert clean(name) == "unnamed"


def test_a_long_name_keeps_its_extension() -> None:
    assert clean("a" * 300 + ".jpeg") == "a" * 250 + ".jpeg"
    assert clean("ü" * 200 + ".jpeg") == "ü" * 125 + ".jpeg"
    assert clean("a" * 300 + "." + "b" * 300) == "a" * 255
    assert clean("a" * 249 + " " + "b" * 50 + ".jpeg") == "a" * 249 + ".jpeg"


def test_truncation_leaves_no_joiner_at_the_end() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert not clean(family * 30 + ".png").removesuffix(".png").endswith("\u200d")


@given(
    long_names.map(clean), st.sampled_from(["", "-thumbnail", " (2)", "-" + "n" * 64]), st.sampled_from(["", ".webp"])
)
def test_a_name_with_a_suffix_stays_short(name: str, suffix: str, ending: str) -> None:
    """Any clean name with any suffix: at most 255 bytes, and the suffix is complete."""
    stem, own_ending = split_extension(name)
    assert stem + own_ending == name
    name_with_suffix = add_suffix(stem, suffix, ending)
    assert len(name_with_suffix.encode()) <= MAX_BYTES
    assert name_with_suffix.endswith(suffix + ending)
    assert stem.startswith(name_with_suffix.removesuffix(suffix + ending))


def test_a_short_name_is_unchanged() -> None:
    assert truncate("report.pdf") == "report.pdf"
    assert add_suffix("report", "-thumbnail", ".webp") == "report-thumbnail.webp"


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("\u00dcber.txt", "\u00fcber"),
        ("\u00fcber.txt", "U\u0308BER"),
        ("Stra\u00dfe.txt", "STRASSE"),
        ("\u0391\u03a3.txt", "\u03b1\u03c2"),
        ("ДОКЛАД.pdf", "доклад"),
        ("gpj.exe", "gpj.\u202eexe"),
        ("\u1e9e.txt", "ss"),
    ],
)
def test_a_search_finds_a_name_in_any_spelling(stored: str, asked: str) -> None:
    assert comparable(asked) in comparable(stored)


@given(st.one_of(anything, long_names))
def test_a_cleaned_name_is_one_visible_segment(name: str) -> None:
    """Any text: short enough to be stored, no separator, nothing invisible, no parent directory; idempotent."""
    cleaned = clean(name)
    assert 0 < len(cleaned.encode()) <= MAX_BYTES
    assert not set(cleaned) & set("/\\\r\n\0")
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in cleaned if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI")]
    assert cleaned not in (".", "..")
    assert clean(cleaned) == cleaned


@given(st.one_of(anything, long_names), st.sampled_from(["inline", "attachment"]))
def test_a_header_carries_the_name_and_nothing_else(name: str, kind: str) -> None:
    """Any text, even uncleaned: one ASCII line, one quoted fallback, and the exact name in ``filename*``."""
    value = content_disposition(kind, name)
    match = re.fullmatch(r"(\w+); filename=\"([ -~]*)\"(?:; filename\*=UTF-8''([\w.~%-]*))?", value, re.ASCII)
    assert match, value
    assert match[1] == kind
    assert not set(match[2]) & set('"\\%;')
    told = match[2] if match[3] is None else unquote(match[3])
    assert told == name.encode("utf-8", "replace").decode()


EXTENSIONS = {"Report.PDF": "pdf", "a.tar.gz": "gz", ".htaccess": "", "none": "", "dot.": "", "": "", "a.JPÈG": "jpèg"}
EXTENSIONS |= {"a.exe.": "exe", "a.exe .": "exe", "a.ex\u200be": "exe", "a.exe\ufeff": "exe", "...": ""}


@pytest.mark.parametrize(("name", "found"), EXTENSIONS.items())
def test_the_extension_of_a_name(name: str, found: str) -> None:
    assert extension(name) == found
