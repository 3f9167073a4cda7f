"""Names of character encodings: label in mail, pages and files -> codec of Python -> name in HTTP.

The labels are those of the Encoding Standard (WHATWG, 4.2). As there, a label means the superset that senders use under
its name: gb2312 is GB18030, shift_jis is Windows-31J, iso-8859-1 is windows-1252. Added are encodings of old mail that
the standard leaves out because pages could misuse them (UTF-7, ISO-2022-KR, HZ), and names of Windows, Java and macOS.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

#: Codec of Python -> name in HTTP and HTML.
_NAMES = {
    "ascii": "us-ascii",
    "big5hkscs": "big5",
    "cp866": "ibm866",
    "cp874": "windows-874",
    "cp932": "shift_jis",
    "cp949": "euc-kr",
    "euc_jp": "euc-jp",
    "hz": "hz-gb-2312",
    "iso2022_jp_ext": "iso-2022-jp",
    "iso2022_kr": "iso-2022-kr",
    "mac-cyrillic": "x-mac-cyrillic",
    "mac-roman": "macintosh",
    "utf-16-be": "utf-16be",
    "utf-16-le": "utf-16le",
    "utf-8-sig": "utf-8",
    **{name: name for name in ("gb18030", "koi8-r", "koi8-u", "utf-7", "utf-8", "utf-16", "utf-32")},
    **{f"cp{page}": f"windows-{page}" for page in range(1250, 1259)},
    **{f"iso8859-{part}": f"iso-8859-{part}" for part in (*range(2, 9), 10, 13, 14, 15, 16)},
}

#: Codec -> labels that Python does not know, or reads as a smaller encoding.
_LABELS = {
    "big5hkscs": "big5 big5-hkscs big5-hkscs:2004 cn-big5 csbig5 x-x-big5 big5-eten big5eten cp950 ms950 windows-950 "
    "x-windows-950 x-big5",
    "cp1250": "x-cp1250 ansi-ee",
    "cp1251": "x-cp1251 ansi-cyrl",
    "cp1252": "ascii us-ascii ansi_x3.4-1968 ansi_x3.4-1986 iso_646.irv:1991 iso646-us 646 cp367 ibm367 iso-ir-6 "
    "csascii iso-8859-1 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 iso-ir-100 latin1 latin-1 l1 cp819 ibm819 "
    "csisolatin1 x-cp1252 x-ansi ansi x-user-defined 8859_1",
    "cp1254": "x-cp1254 iso-8859-9 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 iso-ir-148 latin5 l5 csisolatin5",
    **{f"cp{page}": f"x-cp{page}" for page in (1253, 1255, 1256, 1257, 1258)},
    "cp866": "866 ibm866 csibm866 dos-866",
    "cp874": "dos-874 windows-874 x-windows-874 ms874 iso-8859-11 iso8859-11 iso885911 iso_8859-11 tis-620 tis620 "
    "tis620.2533 thai iso-ir-166",
    "cp932": "shift_jis shift-jis sjis x-sjis s_jis csshiftjis ms_kanji mskanji ms932 windows-31j windows-932 "
    "x-windows-932 cswindows31j x-ms-cp932 shift_jisx0213",
    "cp949": "euc-kr euc_kr euckr cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ks_c_5601 "
    "ksc5601 ksc_5601 ks_x_1001 ksx1001 ks_c-5601-1987 ms949 uhc windows-949 x-windows-949 x-ksc5601",
    "euc_jp": "euc-jp eucjp x-euc-jp x-eucjp cseucpkdfmtjapanese eucjp-ms eucjp-win cp51932 ujis",
    "gb18030": "gb18030 gb18030-2000 gb18030-2005 gb18030-2022 gb2312 gb_2312 gb_2312-80 gb2312-80 csgb2312 chinese "
    "csiso58gb231280 iso-ir-58 gbk x-gbk cp936 ms936 windows-936 x-cp936 euc-cn euccn euc_cn x-euc-cn cn-gb",
    "hz": "hz-gb-2312 hz hzgb",
    "iso2022_jp_ext": "iso-2022-jp iso2022jp csiso2022jp iso-2022-jp-1 iso-2022-jp-ms cp50220 cp50221 cp50222 "
    "x-windows-iso2022jp iso-2022-jp-ext",
    "iso2022_kr": "iso-2022-kr iso2022kr csiso2022kr",
    "iso8859-8": "iso-8859-8 iso-8859-8-i iso-8859-8-e csiso88598i csiso88598e logical visual hebrew csisolatinhebrew",
    "iso8859-6": "iso-8859-6-i iso-8859-6-e csiso88596i csiso88596e",
    "koi8-r": "koi koi8 koi8_r koi8r cskoi8r",
    "koi8-u": "koi8-ru koi8u cskoi8u",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "mac-greek": "x-mac-greek",
    "mac-latin2": "x-mac-ce x-mac-centraleurroman",
    "mac-roman": "macintosh mac x-mac-roman csmacintosh macroman",
    "mac-turkish": "x-mac-turkish",
    "utf-16": "utf-16 unicode ucs-2 iso-10646-ucs-2 csunicode",
    "utf-16-be": "utf-16be unicodefffe",
    "utf-16-le": "utf-16le unicodefeff",
    "utf-7": "utf-7 unicode-1-1-utf-7 csunicode11utf7 x-unicode-2-0-utf-7 x-utf-7 utf7",
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf-8-mac utf8mb4 cp65001 "
    "utf-8-sig",
}
_CODECS: Mapping[str, str] = {
    label: python_codec for python_codec, labels in _LABELS.items() for label in labels.split()
}

#: Codecs that decode text. Python has others that decompress, evaluate escapes or take quadratic time.
_TEXT = re.compile(
    r"ascii|utf-(7|8|8-sig|16|16-le|16-be|32|32-le|32-be)|cp\d{3,5}|iso8859-\d{1,2}|koi8-[rtu]|big5(hkscs)?|gb2312|gbk"
    r"|gb18030|hz|euc_(jp|jis_2004|jisx0213|kr)|shift_jis(_2004|x0213)?|iso2022_\w+|johab|mac-\w+|tis-620|kz1048|ptcp154"
)
_LABEL = re.compile(r"[\w.:+()-]{1,60}", re.ASCII)
_PAGE = re.compile(r"(?:x-)?(?:windows|cp|ibm|dos|oem|ms)[-_]?0*(\d{3,5})")


def python_codec(label: str | None) -> str | None:
    """Return Python's codec for a label; None for an unknown one, or one that is no text encoding."""
    name = (label or "").strip().strip("\"'").strip().lower()
    if not _LABEL.fullmatch(name):
        return None
    if name in _CODECS:
        return _CODECS[name]
    dashed = name.replace("_", "-")
    page = _PAGE.fullmatch(name)
    numbered = f"cp{page[1]}" if page else ""
    return _CODECS.get(dashed) or _codec_of_python(name) or _CODECS.get(numbered) or _codec_of_python(numbered)


def http_name(codec_name: str | None) -> str | None:
    """Return the charset of a Content-Type for a codec of Python; None where it has none."""
    if not codec_name:
        return None
    if codec_name in ("us-ascii", "ascii"):
        return "us-ascii"
    return _NAMES.get(codec_name) or _NAMES.get(python_codec(codec_name) or "")


def _codec_of_python(name: str) -> str | None:
    try:
        codec = codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        return None
    return _SUPERSETS.get(codec, codec) if _TEXT.fullmatch(codec) else None


#: Codec -> codec of the superset that is used under its name.
_SUPERSETS = {
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022_jp": "iso2022_jp_ext",
    "iso8859-1": "cp1252",
    "iso8859-11": "cp874",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "utf-8-sig": "utf-8",
}
