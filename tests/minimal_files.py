"""Minimal files of ordinary types: name -> (file name, type, bytes)."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tests import samples

OOXML = "application/vnd.openxmlformats-officedocument"
ODF = "application/vnd.oasis.opendocument"
WORDS = "The chain is hauled link by link, and the pawl holds what is in.\n" * 20


@dataclass(frozen=True, slots=True)
class Kind:
    filename: str
    mime_type: str
    make: Callable[[], bytes]

    def __str__(self) -> str:
        return self.filename


def zipped(*entries: tuple[str, str | bytes], deflate: bool = True) -> bytes:
    """A zip file with its entries in this order: some writers put the identifying ones last."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as made:
        for name, body in entries:
            made.writestr(zipfile.ZipInfo(name), body, compress_type=made.compression)
    return out.getvalue()


def ooxml(folder: str, main: str, *more: str) -> Callable[[], bytes]:
    """As some libraries write it: the parts first, the table of types last."""
    parts = [("docProps/app.xml", "<Properties/>"), (f"{folder}/{main}.xml", "<x/>")]
    parts += [(name, b"\x00") for name in more]
    return lambda: zipped(*parts, ("_rels/.rels", "<Relationships/>"), ("[Content_Types].xml", "<Types/>"))


def odf(kind: str) -> Callable[[], bytes]:
    """With the mimetype behind the content, against the advice of the standard."""
    return lambda: zipped(("content.xml", "<x/>"), ("mimetype", f"{ODF}.{kind}"), ("META-INF/manifest.xml", "<m/>"))


def cfb(*names: str) -> bytes:
    """A compound file of Microsoft with empty streams of these names, each the right sibling of the one before."""
    head = bytearray(512)
    head[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    struct.pack_into("<HHHHH", head, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<IIIIIIIIII", head, 40, 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0)
    struct.pack_into("<108I", head, 80, *([0xFFFFFFFF] * 108))
    fat = struct.pack("<128I", 0xFFFFFFFD, 0xFFFFFFFE, *([0xFFFFFFFF] * 126))
    entries = b""
    for index, name in enumerate(("Root Entry", *names)):
        spelled = (name + "\0").encode("utf-16-le")
        head_of = spelled.ljust(64, b"\0") + struct.pack("<HBB", len(spelled), 5 if not index else 2, 1)
        right = index + 1 if 0 < index < len(names) else 0xFFFFFFFF
        links = struct.pack("<III", 0xFFFFFFFF, right, 1 if not index and names else 0xFFFFFFFF)
        entries += (head_of + links).ljust(116, b"\0") + struct.pack("<IQ", 0xFFFFFFFE, 0)
    return bytes(head) + fat + entries.ljust(512, b"\0")


@cache
def database() -> bytes:
    with sqlite3.connect(":memory:") as made:
        made.execute("CREATE TABLE t (x)")
        return made.serialize()


@cache
def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 5
        made.addfile(entry, io.BytesIO(b"chain"))
    return out.getvalue()


def bmp() -> bytes:
    """Two by three pixels; the height is negative: from the top down."""
    head = struct.pack("<IiiHHIIiiII", 40, 2, -3, 1, 24, 0, 24, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 78, 0, 0, 54) + head + bytes(24)


def ico() -> bytes:
    """Two pictures of different sizes."""
    entries = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 40, 38) + struct.pack(
        "<BBBBHHII", 0, 0, 0, 0, 1, 32, 40, 78
    )
    return struct.pack("<HHH", 0, 1, 2) + entries + struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 32, 0, 0, 0, 0, 0, 0) * 2


def _boxes(kind: bytes, brand: bytes) -> bytes:
    return b"\0\0\0\x0c" + kind + b"\r\n\x87\n\0\0\0\x14ftyp" + brand + bytes(4) + brand


def stl() -> bytes:
    return b"made by hand".ljust(80, b"\0") + struct.pack("<I", 1) + bytes(50)


def glb() -> bytes:
    body = b'{"asset":{"version":"2.0"}}  '[:28]
    return b"glTF" + struct.pack("<III", 2, 20 + len(body), len(body)) + b"JSON" + body


def font(signature: bytes) -> bytes:
    """The table directory of a font with the tables that libmagic looks for."""
    tables = [b"OS/2", b"cmap", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"name", b"post"]
    head = signature + struct.pack(">HHHH", len(tables), 128, 3, 32)
    return head + b"".join(tag + struct.pack(">III", 0, 172, 4) for tag in tables) + bytes(64)


def mail() -> bytes:
    head = "Received: from a by b; Mon, 6 May 2024 07:08:09 +0200\nFrom: a@example.org\nTo: b@example.org\n"
    return f"{head}Subject: Chains\nMIME-Version: 1.0\nContent-Type: text/plain\n\n{WORDS}".encode()


def text(body: str) -> Callable[[], bytes]:
    return body.encode


STEP = "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nENDSEC;\nDATA;\nENDSEC;\nEND-ISO-10303-21;\n"
DXF = "  0\nSECTION\n  2\nHEADER\n  9\n$ACADVER\n  1\nAC1009\n  0\nENDSEC\n  0\nEOF\n"
STL = "solid cube\nfacet normal 0 0 0\nouter loop\nvertex 0 0 0\nendloop\nendfacet\nendsolid cube\n"
OBJ = "# a triangle\nv 0 0 0\nv 0 0 1\nv 0 1 0\nf 1 2 3\n"
GPX = '<?xml version="1.0"?>\n<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"></gpx>\n'
VCARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann\r\nEND:VCARD\r\n"
CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n"
MARKDOWN = "# Chains\n\nHaul *away*, with [links](https://example.org).\n\n- one\n- two\n"
SCRIPT = "function haul(x) {\n  var y = x;\n  return y;\n}\n"

_PSD = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(12)
_JAR = (("A.class", b"\xca\xfe"), ("META-INF/MANIFEST.MF", "M: 1"))
_APK = (("classes.dex", b"dex"), ("AndroidManifest.xml", b"\3"))
_APK_TYPE = "application/vnd.android.package-archive"
_EPUB = (("OEBPS/a.xhtml", "<x/>"), ("mimetype", "application/epub+zip"))
_DOCM, _XLSM = (f"application/vnd.ms-{name}.macroenabled.12" for name in ("word.document", "excel.sheet"))

_LISTED = [
    # pictures
    Kind("a.jpg", "image/jpeg", samples.jpeg),
    Kind("a.png", "image/png", samples.png),
    Kind("a.gif", "image/gif", samples.gif),
    Kind("a.webp", "image/webp", samples.webp),
    Kind("a.tiff", "image/tiff", samples.tiff),
    Kind("a.avif", "image/avif", samples.avif),
    Kind("a.heic", "image/heic", samples.heic),
    Kind("a.bmp", "image/bmp", bmp),
    Kind("a.ico", "image/vnd.microsoft.icon", ico),
    Kind("a.svg", "image/svg+xml", samples.svg),
    Kind("named.svg", "image/svg+xml", text('<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>')),
    Kind("a.psd", "image/vnd.adobe.photoshop", lambda: _PSD),
    Kind("a.jxl", "image/jxl", lambda: _boxes(b"JXL ", b"jxl ")),
    Kind("a.jp2", "image/jp2", lambda: _boxes(b"jP  ", b"jp2 ")),
    # video
    Kind("a.mp4", "video/mp4", samples.mp4),
    Kind("a.mov", "video/quicktime", lambda: samples.video("mov", "mpeg4")),
    Kind("a.webm", "video/webm", samples.webm),
    Kind("a.mkv", "video/x-matroska", lambda: samples.video("matroska", "mpeg4")),
    Kind("a.avi", "video/x-msvideo", lambda: samples.video("avi", "mpeg4")),
    Kind("a.ts", "video/mp2t", lambda: samples.video("mpegts", "mpeg2video")),
    Kind("a.mpg", "video/mpeg", lambda: samples.video("mpeg", "mpeg1video")),
    Kind("a.flv", "video/x-flv", lambda: samples.video("flv", "flv")),
    Kind("a.3gp", "video/3gpp", lambda: samples.video("3gp", "mpeg4")),
    Kind("a.wmv", "video/x-ms-asf", lambda: samples.video("asf", "wmv2")),
    Kind("a.m4v", "video/mp4", lambda: samples.video("ipod", "mpeg4")),
    # sound
    Kind("a.mp3", "audio/mpeg", samples.mp3),
    Kind("a.wav", "audio/wav", samples.wav),
    Kind("a.flac", "audio/flac", samples.flac),
    Kind("a.m4a", "audio/mp4", samples.m4a),
    Kind("a.ogg", "audio/ogg", lambda: samples.sound("ogg", "libopus")),
    Kind("a.opus", "audio/opus", lambda: samples.sound("opus", "libopus")),
    Kind("a.aac", "audio/aac", lambda: samples.sound("adts", "aac")),
    Kind("a.aiff", "audio/aiff", lambda: samples.sound("aiff", "pcm_s16be")),
    Kind("a.wma", "audio/x-ms-wma", lambda: samples.sound("asf", "wmav2")),
    Kind("a.mka", "audio/x-matroska", lambda: samples.sound("matroska", "flac")),
    Kind("a.mid", "audio/midi", lambda: b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0"),
    # documents
    Kind("a.pdf", "application/pdf", samples.pdf),
    Kind("a.docx", f"{OOXML}.wordprocessingml.document", ooxml("word", "document")),
    Kind("a.dotx", f"{OOXML}.wordprocessingml.template", ooxml("word", "document")),
    Kind("a.docm", _DOCM, ooxml("word", "document", "word/vbaProject.bin")),
    Kind("a.xlsx", f"{OOXML}.spreadsheetml.sheet", ooxml("xl", "workbook")),
    Kind("a.xlsm", _XLSM, ooxml("xl", "workbook", "xl/vbaProject.bin")),
    Kind("a.pptx", f"{OOXML}.presentationml.presentation", ooxml("ppt", "presentation")),
    Kind("a.ppsx", f"{OOXML}.presentationml.slideshow", ooxml("ppt", "presentation")),
    Kind("a.odt", f"{ODF}.text", odf("text")),
    Kind("a.ods", f"{ODF}.spreadsheet", odf("spreadsheet")),
    Kind("a.odp", f"{ODF}.presentation", odf("presentation")),
    Kind("a.odg", f"{ODF}.graphics", odf("graphics")),
    Kind("a.epub", "application/epub+zip", lambda: zipped(*_EPUB)),
    Kind("a.doc", "application/msword", lambda: cfb("WordDocument", "1Table")),
    Kind("a.xls", "application/vnd.ms-excel", lambda: cfb("Workbook")),
    Kind("a.ppt", "application/vnd.ms-powerpoint", lambda: cfb("PowerPoint Document")),
    Kind("a.msg", "application/vnd.ms-outlook", lambda: cfb("__nameid_version1.0", "__properties_version1.0")),
    Kind("locked.docx", f"{OOXML}.wordprocessingml.document", lambda: cfb("EncryptionInfo", "EncryptedPackage")),
    Kind("a.rtf", "application/rtf", text(r"{\rtf1\ansi Haul away.}")),
    Kind("a.ps", "application/postscript", text("%!PS-Adobe-3.0\n%%EOF\n")),
    Kind("a.eml", "message/rfc822", mail),
    Kind("plain.eml", "message/rfc822", text("Subject: Chains\nFrom: a@example.org\n\nHaul away.\n")),
    # text
    Kind("a.txt", "text/plain", text(WORDS)),
    Kind("a.md", "text/markdown", text(MARKDOWN)),
    Kind("a.csv", "text/csv", text("a,b\n1,2\n3,4\n")),
    Kind("one-column.csv", "text/csv", text("name\nAnn\nBob\n")),
    Kind("semicolons.csv", "text/csv", text("a;b\n1;2\n")),
    Kind("a.tsv", "text/tab-separated-values", text("a\tb\n1\t2\n")),
    Kind("a.json", "application/json", text(json.dumps({"a": [1, 2]}))),
    Kind("broken.json", "application/json", text('{"a": [1, 2')),
    Kind("a.ndjson", "application/x-ndjson", text('{"a": 1}\n{"a": 2}\n')),
    Kind("a.jsonl", "application/x-ndjson", text('{"a": 1}\n{"a": 2}\n')),
    Kind("a.geojson", "application/geo+json", text('{"type": "FeatureCollection", "features": []}')),
    Kind("a.yaml", "application/yaml", text("a: 1\nb:\n  - 2\n")),
    Kind("a.toml", "application/toml", text("[a]\nb = 1\n")),
    Kind("a.xml", "text/xml", text('<?xml version="1.0"?>\n<a/>\n')),
    Kind("a.gpx", "application/gpx+xml", text(GPX)),
    Kind("a.html", "text/html", samples.html),
    Kind("piece.html", "text/html", text("Haul <b>away</b>\n")),
    Kind("a.css", "text/css", text("body { color: red }\n")),
    Kind("a.js", "text/javascript", text(SCRIPT)),
    Kind("a.py", "text/x-python", text("#!/usr/bin/env python3\nimport os\nprint(os.name)\n")),
    Kind("a.sh", "application/x-sh", text("#!/bin/sh\necho haul\n")),
    Kind("a.sql", "application/sql", text("CREATE TABLE t (x INTEGER);\nINSERT INTO t VALUES (1);\n")),
    Kind("a.srt", "application/x-subrip", text("1\n00:00:01,000 --> 00:00:02,000\nHaul\n")),
    Kind("a.vtt", "text/vtt", text("WEBVTT\n\n00:01.000 --> 00:02.000\nHaul\n")),
    Kind("a.ics", "text/calendar", text(CALENDAR)),
    Kind("a.vcf", "text/vcard", text(VCARD)),
    Kind("a.log", "text/plain", text("2024-05-06 07:08:09 hauled\n")),
    # archives and programs
    Kind("a.zip", "application/zip", samples.archive),
    Kind("a.jar", "application/java-archive", lambda: zipped(*_JAR)),
    Kind("a.apk", _APK_TYPE, lambda: zipped(*_APK)),
    Kind("a.kmz", "application/vnd.google-earth.kmz", lambda: zipped(("files/a.png", b"x"), ("doc.kml", "<kml/>"))),
    Kind("a.cbz", "application/vnd.comicbook+zip", lambda: zipped(("1.jpg", b"x"), ("2.jpg", b"y"))),
    Kind("a.tar", "application/x-tar", tar),
    Kind("a.tar.gz", "application/gzip", lambda: gzip.compress(tar())),
    Kind("a.tgz", "application/gzip", lambda: gzip.compress(tar())),
    Kind("a.svgz", "application/gzip", lambda: gzip.compress(samples.svg())),
    Kind("a.bz2", "application/x-bzip2", lambda: bz2.compress(b"chain")),
    Kind("a.xz", "application/x-xz", lambda: lzma.compress(b"chain")),
    Kind("a.7z", "application/x-7z-compressed", lambda: bytes.fromhex("377abcaf271c0004") + bytes(24)),
    Kind("a.rar", "application/vnd.rar", lambda: b"Rar!\x1a\x07\x01\x00" + bytes(20)),
    Kind("a.zst", "application/zstd", lambda: bytes.fromhex("28b52ffd2400010000") + bytes(8)),
    Kind("a.sqlite", "application/vnd.sqlite3", database),
    Kind("a.db", "application/vnd.sqlite3", database),
    Kind("a.wasm", "application/wasm", lambda: b"\0asm\1\0\0\0"),
    # fonts
    Kind("a.ttf", "font/ttf", lambda: font(b"\0\1\0\0")),
    Kind("a.otf", "font/otf", lambda: font(b"OTTO")),
    Kind("a.woff", "font/woff", lambda: b"wOFF\0\1\0\0" + bytes(40)),
    Kind("a.woff2", "font/woff2", lambda: b"wOF2\0\1\0\0" + bytes(40)),
    # models and drawings
    Kind("a.stl", "model/stl", stl),
    Kind("ascii.stl", "model/stl", text(STL)),
    Kind("a.obj", "model/obj", text(OBJ)),
    Kind("a.gltf", "model/gltf+json", text('{"asset": {"version": "2.0"}}')),
    Kind("a.glb", "model/gltf-binary", glb),
    Kind("a.step", "model/step", text(STEP)),
    Kind("a.3mf", "model/3mf", lambda: zipped(("3D/3dmodel.model", "<model/>"), ("[Content_Types].xml", "<Types/>"))),
    Kind("a.dwg", "image/vnd.dwg", lambda: b"AC1027" + bytes(100)),
    Kind("a.dxf", "image/vnd.dxf", text(DXF)),
    Kind("a.bin", "application/octet-stream", lambda: hashlib.sha512(b"x").digest() * 4),
    Kind("empty.txt", "application/x-empty", bytes),
]

KINDS: Mapping[str, Kind] = {kind.filename: kind for kind in _LISTED}
