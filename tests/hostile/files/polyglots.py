"""Files that are two things at once, and programs that call themselves pictures."""

from __future__ import annotations

import struct

from tests import samples
from tests.hostile.catalogue import Bait, baited, hostile, series
from tests.hostile.files.documents import CATALOGUE, PAGES, page, pdf
from tests.hostile.files.pictures import PNG, jpeg_with, png_chunk

SCRIPT = b"<html><script>alert(document.domain)</script></html>"


@hostile("picture.gif")
def gif_and_jar() -> bytes:
    """A picture with a Java archive behind it."""
    return samples.gif() + samples.archive("META-INF/MANIFEST.MF", "Applet.class")


@hostile("script.gif")
def gif_and_script() -> bytes:
    """A picture whose head is a script: GIF89a=…"""
    return b"GIF89a=1;/*" + bytes(20) + b"*/alert(1);" + samples.gif()[6:]


@hostile("paper.pdf")
def pdf_and_zip() -> bytes:
    """A document with an archive behind it."""
    return samples.pdf() + samples.archive("a.txt")


@hostile("archive.zip")
def zip_and_pdf() -> bytes:
    """An archive with a document in front, as one stored entry."""
    return b"PK\3\4" + bytes(26) + samples.pdf() + samples.archive("a.txt")


@hostile("late.pdf")
def pdf_after_a_kilobyte() -> bytes:
    """The head of the document comes after a page of HTML."""
    return SCRIPT.ljust(1000) + samples.pdf()


@hostile("photo.jpg")
def jpeg_and_html() -> bytes:
    """A page in the comment, and another one behind."""
    return jpeg_with(b"\xff\xfe" + struct.pack(">H", len(SCRIPT) + 2) + SCRIPT) + SCRIPT


@hostile("photo.php.jpg")
def jpeg_and_php() -> bytes:
    """A program in the comment."""
    code = b"<?php system($_GET['c']); __halt_compiler();"
    return jpeg_with(b"\xff\xfe" + struct.pack(">H", len(code) + 2) + code)


@hostile("picture.png")
def png_and_script() -> bytes:
    """A script in a text chunk and behind the end."""
    return samples.png()[:33] + png_chunk(b"tEXt", b"Comment\0" + SCRIPT) + samples.png()[33:] + SCRIPT


@hostile("empty.png")
def png_of_nothing() -> bytes:
    """The signature and the end."""
    return PNG + png_chunk(b"IEND", b"")


@hostile("clip.mp4")
def mp4_and_html() -> bytes:
    """A page in a free box, in front."""
    return struct.pack(">I", 8 + len(SCRIPT)) + b"free" + SCRIPT + samples.mp4()


@hostile("song.mp3")
def mp3_and_zip() -> bytes:
    """A song with an archive behind it."""
    return samples.mp3() + samples.archive("setup.exe")


@hostile("sound.wav")
def wav_and_zip() -> bytes:
    """A sound with an archive behind it."""
    return samples.wav() + samples.archive("setup.exe")


@hostile("three.pdf")
def pdf_html_and_zip() -> bytes:
    """A document, a page and an archive."""
    return pdf([CATALOGUE, PAGES, page(""), SCRIPT]) + samples.archive("index.html")


@hostile("bitmap.bmp")
def bmp_and_script() -> bytes:
    """BM=1; is a picture's head and a script's first line."""
    return b"BM=1;/*" + bytes(60) + b"*/alert(1)"


@baited("photo.png")
def svg_named_png(bait: Bait) -> bytes:
    """A drawing that calls home, named a picture."""
    return f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{bait.url}'/></svg>".encode()


series(
    "polyglots",
    "holiday.jpg",
    "A program that calls itself a picture.",
    {
        "elf": b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + b"\xff" * 200,
        "windows_program": b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + b"\xff" * 300,
        "java_class": b"\xca\xfe\xba\xbe\0\0\0\x34" + b"\xff" * 100,
        "shell_script": b"#!/bin/sh\nrm -rf /\n",
        "shortcut": b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F" + b"\xff" * 200,
        "desktop_entry": b"[Desktop Entry]\nType=Application\nExec=sh -c id\n",
        "wasm": b"\0asm\1\0\0\0" + b"\xff" * 100,
        "sqlite": b"SQLite format 3\0" + b"\xff" * 200,
        "pickle": b"\x80\4\x95\0\0\0\0\0\0\0\0\x8c\5posix\x8c\6system\x93\x8c\2id\x85R.",
        "python_bytecode": b"\xa7\r\r\n" + bytes(12) + b"\xe3" + b"\xff" * 100,
        "iso": bytes(32769) + b"CD001" + b"\xff" * 2000,
        "ext4": bytes(1080) + b"\x53\xef" + bytes(3000),
        "pcap": b"\xd4\xc3\xb2\xa1\2\0\4\0" + b"\xff" * 100,
        "font": b"\0\1\0\0\xff\xff" + b"\xff" * 300,
        "woff": b"wOFF" + b"\xff" * 300,
    },
)
