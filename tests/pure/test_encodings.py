"""The encoding of a text, by its label and by all of its bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windlass.kernel.charsets import http_name, python_codec
from windlass.processing.formats.text import encodings

# ruff: noqa: RUF001  letters of other scripts are what this is about
SAMPLES = {
    "ru": "Прекрасный вечер, дождь идёт, и никто не знает, когда он кончится.",
    "ja": "日本語のテキストです。東京は雨が降っています。カタカナも使う。",
    "zh": "今天天气很好，我们去公园散步吧。这个问题需要解决。",
    "tw": "今天天氣很好，我們去公園散步吧。這個問題需要解決。",
    "ko": "오늘은 날씨가 좋습니다. 우리는 공원에 갑니다. 한국어 문장입니다.",
    "de": "Größe und Tiefe über alles; die Straße führt durch schöne Täler.",
    "fr": "L’été dernier, nous étions à la plage où il faisait très chaud.",
    "pl": "Zażółć gęślą jaźń, proszę państwa, to jest ważne źródło wiedzy.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "tr": "Günaydın dünya, bugün hava çok güzel, şimdi işe gidiyoruz. İyi.",
    "el": "Καλημέρα κόσμε, η θάλασσα είναι πολύ όμορφη σήμερα το πρωί.",
    "th": "สวัสดีครับ วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะกัน",
    "he": "שלום עולם, היום מזג האוויר יפה מאוד ואנחנו הולכים לפארק.",
    "ar": "مرحبا بالعالم، الطقس جميل اليوم ونحن ذاهبون إلى الحديقة.",
}


@pytest.mark.parametrize(
    ("label", "found", "in_http"),
    [
        ("x-sjis", "cp932", "shift_jis"),
        ("Windows-31J", "cp932", "shift_jis"),
        ("x-gbk", "gb18030", "gb18030"),
        ("GB2312", "gb18030", "gb18030"),
        ("cp936", "gb18030", "gb18030"),
        ("windows-874", "cp874", "windows-874"),
        ("tis-620", "cp874", "windows-874"),
        ("ks_c_5601-1987", "cp949", "euc-kr"),
        ("euc-kr", "cp949", "euc-kr"),
        ("big5", "big5hkscs", "big5"),
        ("cp950", "big5hkscs", "big5"),
        ("iso-8859-8-i", "iso8859-8", "iso-8859-8"),
        ("iso-8859-9", "cp1254", "windows-1254"),
        ("latin1", "cp1252", "windows-1252"),
        ("us-ascii", "cp1252", "windows-1252"),
        (' "UTF8" ', "utf-8", "utf-8"),
        ("unicode-1-1-utf-7", "utf-7", "utf-7"),
        ("unicode-1-1-utf-8", "utf-8", "utf-8"),
        ("csISO2022JP", "iso2022_jp_ext", "iso-2022-jp"),
        ("koi8-ru", "koi8-u", "koi8-u"),
        ("x-mac-cyrillic", "mac-cyrillic", "x-mac-cyrillic"),
        ("windows_1251", "cp1251", "windows-1251"),
        ("dos-850", "cp850", None),
        ("latin2", "iso8859-2", "iso-8859-2"),
        ("rot13", None, None),
        ("zlib", None, None),
        ("unicode_escape", None, None),
        ("idna", None, None),
        ("unknown-8bit", None, None),
        ("x" * 200, None, None),
        ("", None, None),
    ],
)
def test_encoding_labels_have_their_python_codec_and_http_name(
    label: str, found: str | None, in_http: str | None
) -> None:
    assert (python_codec(label), http_name(python_codec(label))) == (found, in_http)


def test_codecs_have_one_http_name_or_none() -> None:
    assert http_name("us-ascii") == "us-ascii"
    assert http_name(None) is None
    assert http_name("no such") is None


@pytest.mark.parametrize("repeated", [1, 20])
@pytest.mark.parametrize(
    ("language", "written_in"),
    [
        *((language, "utf-8") for language in SAMPLES),
        *(("ru", name) for name in ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic")),
        *(("ja", name) for name in ("cp932", "euc_jp", "iso2022_jp")),
        ("zh", "gb18030"),
        ("tw", "big5hkscs"),
        ("ko", "cp949"),
        *(("de", name) for name in ("cp1252", "iso8859-15", "cp850")),
        ("fr", "cp1252"),
        *((language, name) for language in ("pl", "cs") for name in ("cp1250", "iso8859-2")),
        ("tr", "cp1254"),
        *(("el", name) for name in ("cp1253", "iso8859-7")),
        ("th", "cp874"),
        *(("he", name) for name in ("cp1255", "iso8859-8")),
        *(("ar", name) for name in ("cp1256", "iso8859-6")),
    ],
)
def test_the_encoding_of_an_unlabelled_text_is_detected(language: str, written_in: str, repeated: int) -> None:
    text = f"{SAMPLES[language]}\r\n" * repeated
    data = text.encode(written_in)
    assert encodings.decoder(encodings.encoding_of(data)).decode(data, True) == text


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("language", list(SAMPLES))
def test_utf_16_and_utf_32_are_detected_without_a_byte_order_mark(language: str, name: str) -> None:
    text = f"{SAMPLES[language]}\n"
    data = text.encode(name)
    assert encodings.decoder(encodings.encoding_of(data)).decode(data, True) == text


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"plain\n" * 8000 + "Grüße an alle, schöne Straße\n".encode("latin-1"), "cp1252"),
        (b"x" * (2 << 20) + "ü".encode(), "utf-8"),
        (b"x\n" * (1 << 20) + "Прекрасный вечер, дождь\n".encode("cp1251"), "cp1251"),
        (("ü" * 200 + "\n").encode() + b"one bad byte: \xff\n", "utf-8"),
        (b"plain", "ascii"),
        (b"Haul\0away\n" * 1000, "ascii"),
        (b"", "ascii"),
    ],
)
def test_detection_reads_the_whole_text(data: bytes, found: str) -> None:
    assert encodings.encoding_of(data) == found


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        ("Grüße".encode(), "us-ascii", "Grüße"),
        ("Grüße".encode(), "iso-8859-1", "Grüße"),
        ("Grüße".encode("latin-1"), "us-ascii", "Grüße"),
        ("Grüße".encode("latin-1"), "utf-8", "Grüße"),
        ("Grüße".encode("latin-1"), "no such thing", "Grüße"),
        ("镕".encode("gb18030"), "gb2312", "镕"),
        ("①髙".encode("cp932"), "x-sjis", "①髙"),
        (b"\xad\xa1\xad\xa2", "euc-jp", "①②"),
        (b'\x1b$B-!-"$"\x1b(Bx', "iso-2022-jp", "①②あx"),
        (b'\x1b$B$"\x1b(Bx', None, "あx"),
        (b"Gr+APwA3w-e", "utf-7", "Grüße"),
        ("สวัสดี".encode("cp874"), "windows-874", "สวัสดี"),
        ("똠방각하".encode("cp949"), "ks_c_5601-1987", "똠방각하"),
        (b"plain", "utf-16", "plain"),
    ],
)
def test_the_declared_encoding_is_used_unless_the_bytes_contradict_it(
    data: bytes, declared: str | None, text: str
) -> None:
    assert "".join(encodings.decoded([data[:3], data[3:]], declared)) == text


@given(st.binary(max_size=300), st.sampled_from([None, "utf-8", "utf-7", "iso-2022-jp", "euc-jp", "hz", "big5", "x"]))
def test_any_bytes_are_decoded_without_an_error(data: bytes, declared: str | None) -> None:
    """Invariant: no bytes and no label make the decoder fail, however they are cut."""
    "".join(encodings.decoded([data], declared)).encode("utf-8", "surrogatepass")
    "".join(encodings.decoded([data[n : n + 1] for n in range(len(data))], declared))
