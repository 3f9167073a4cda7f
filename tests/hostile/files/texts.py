"""Texts, data and markup: too long, too deep, too wide, or no text at all."""

from __future__ import annotations

import json
import random

from tests.hostile.catalogue import Bait, baited, hostile, series
from tests.hostile.files.archives import MB
from tests.hostile.files.pictures import laughs


@hostile("deep.json")
def json_of_great_depth() -> bytes:
    """Three hundred thousand lists inside each other."""
    return b"[" * 300_000 + b"]" * 300_000


@hostile("objects.json")
def json_of_deep_objects() -> bytes:
    """A hundred thousand objects inside each other."""
    return b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@hostile("numbers.json")
def json_of_absurd_numbers() -> bytes:
    """A number of a million digits, and one of a million powers."""
    return b'{"a": ' + b"9" * 1_000_000 + b', "b": 1e999999, "c": -0.0e-999999, "d": NaN, "e": -Infinity}'


@hostile("keys.json")
def json_of_many_keys() -> bytes:
    """Two hundred thousand keys, half of them the same, with halves of surrogates."""
    return b"{" + b",".join(b'"%x": "\\ud800", "a": "\\u0000"' % n for n in range(100_000)) + b"}"


@hostile("lines.jsonl")
def json_of_many_lines() -> bytes:
    """Three hundred thousand documents."""
    return b"{}\n" * 300_000


@hostile("columns.csv")
def csv_of_many_columns() -> bytes:
    """Two hundred thousand columns."""
    return b"a" + b",a" * 200_000 + b"\n" + b"1" + b",1" * 200_000 + b"\n"


@hostile("quote.csv")
def csv_of_an_open_quote() -> bytes:
    """A field of 1 MB that is never closed."""
    return b'a,b,c\n1,"' + b"x\n" * 500_000


@hostile("quotes.csv")
def csv_of_many_quotes() -> bytes:
    """Two million quotes."""
    return b"a;b\n" + b'"",' * 700_000 + b'"' * 600_001


@hostile("ragged.csv")
def csv_of_ragged_rows() -> bytes:
    """Rows of one, two, three … columns, with every delimiter, and formulas."""
    marks = (",", ";", "\t", "|", ":")
    rows = [marks[n % 5].join(["=cmd|'/c calc'!A1"] * (n % 300)) for n in range(600)]
    return "\r".join(rows).encode()


@hostile("laughs.xml")
def xml_billion_laughs() -> bytes:
    """Entities that become gigabytes."""
    return laughs("r")


@hostile("deep.xml")
def xml_of_great_depth() -> bytes:
    """Half a million elements inside each other."""
    return b"<?xml version='1.0'?>" + b"<a>" * 500_000


@hostile("attributes.xml")
def xml_of_many_attributes() -> bytes:
    """One element of two hundred thousand attributes and name spaces."""
    each = " ".join(f"a{n}='x' xmlns:n{n}='u{n}'" for n in range(200_000))
    return f"<?xml version='1.0'?><a {each}/>".encode()


@baited("outer.xml")
def xml_with_outer_entities(bait: Bait) -> bytes:
    """External entities, an outer document type, inclusions, a style sheet."""
    outer = f"<!DOCTYPE r SYSTEM '{bait.url}/dtd' [<!ENTITY a SYSTEM 'file://{bait.text}'><!ENTITY % p SYSTEM "
    outer += f"'{bait.url}/p'>%p;<!ENTITY b SYSTEM 'php://filter/read=convert.base64-encode/resource={bait.text}'>]>"
    style = f"<?xml-stylesheet href='{bait.url}/xsl' type='text/xsl'?>"
    return f"<?xml version='1.0'?>{style}{outer}<r xmlns:xi='x'>&a;&b;<xi:include href='{bait.text}'/></r>".encode()


@hostile("deep.html")
def html_of_great_depth() -> bytes:
    """Two hundred thousand boxes inside each other, then tables and forms."""
    return b"<!DOCTYPE html><html><body>" + b"<div>" * 200_000 + b"<table><form><select>" * 20_000


@hostile("marks.html")
def html_of_open_marks() -> bytes:
    """Half a million marks that open and do not close; comments, doctypes and sections likewise."""
    return b"<html>" + b"<" * 500_000 + b"<!--" * 100_000 + b"<![CDATA[" * 50_000 + b"&#x" * 100_000


@hostile("attribute.html")
def html_of_an_endless_attribute() -> bytes:
    """An attribute of 8 MB, and a script that is never closed."""
    return b"<!DOCTYPE html><html><a href='" + b"x" * 8_000_000 + b"'><script>" + b"</scrip" * 100_000


@baited("outer.html")
def html_with_references(bait: Bait) -> bytes:
    """Everything a page could load."""
    tags = ("img", "iframe", "script", "embed", "video", "audio", "source", "track", "input type=image")
    places = (f"{bait.url}/html", f"file://{bait.text}")
    loads = "".join(f"<{tag} src='{place}'></{tag}>" for tag in tags for place in places)
    head = f"<base href='{bait.url}/'><meta http-equiv=refresh content='0;url={bait.url}'>"
    head += f"<link rel=preload href='{bait.url}'>"
    return f"<!DOCTYPE html><html><head>{head}</head><body>{loads}<object data='{places[1]}'></object>".encode()


@hostile("charset.html")
def html_of_odd_charsets() -> bytes:
    """Says UTF-7, UTF-16, EBCDIC and nothing that is."""
    metas = "".join(f"<meta charset='{name}'>" for name in ("utf-7", "utf-16", "cp037", "x" * 5000, "rot13", "zlib"))
    return f"<?xml version='1.0' encoding='bz2'?><html>{metas}+ADw-script+AD4-".encode()


@hostile("line.txt")
def one_long_line() -> bytes:
    """A line of 32 MB."""
    return b"x" * 32 * MB


@hostile("lines.txt")
def four_million_lines() -> bytes:
    """Nothing but ends of lines."""
    return b"\n" * 4_000_000


@hostile("marks.txt")
def many_combining_marks() -> bytes:
    """One letter with a million accents, and ten thousand times the longest ligature there is."""
    return ("a" + "\u0301" * 1_000_000 + "\n" + "\ufdfa" * 10_000).encode()


def _torture() -> dict[str, bytes]:
    """What keeps libmagic's regular expressions busy: no end of what a rule may repeat, and never what ends it."""
    lines = {
        "spaces": b" " * MB,
        "tabs": b"\t" * MB,
        "hashes": b"#" * MB,
        "dashes": b"-" * MB,
        "breaks": b"\r" * MB,
        "backslashes": b"\\" * MB,
        "begins": b"begin 644 " * 100_000,
        "imports": b"import import" * 80_000,
        "defs": b"def a(" * 150_000,
        "classes": b"class a(object" * 70_000,
        "braces": b"{\n" * 500_000,
        "quotes": b"\"'" * 500_000,
        "stars": b"/*" * 500_000,
        "perl": b"#!/usr/bin/perl" * 70_000,
        "fortran": b"C     " * 170_000,
        "froms": b"From " * 200_000,
        "spaced": b"a " * 500_000,
        "words": b"program subroutine function " * 35_000,
        "pdf": b"%PDF-" * 200_000,
        "digits": b"0123456789" * 100_000,
        "doubled": b"\n\n \t" * 250_000,
        "awk": b"BEGIN{" * 170_000,
        "tex": b"\\documentclass" * 70_000,
        "rtf": b"{\\rtf" * 200_000,
        "dots": b'.\\" ' * 250_000,
    }
    return {f"magic_{name}": content for name, content in lines.items()}


series("texts", "torture", "Keeps libmagic's regular expressions busy.", _torture())


def _encodings() -> dict[str, bytes]:
    noise = random.Random(1).randbytes(200_000)
    return {
        "utf16_of_lone_surrogates": b"\xff\xfe" + b"\x00\xd8" * 50_000 + b"\0\xdc" * 50_000,
        "utf16_cut_in_half": b"\xfe\xff" + "Haul away".encode("utf-16-be")[:-1],
        "utf16_of_noise": b"\xff\xfe" + noise,
        "utf32_beyond_the_end": b"\xff\xfe\0\0" + b"\xff\xff\xff\x7f" * 1000,
        "utf8_overlong": b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf\xf8\x80\x80\x80\xaf" * 5000,
        "utf8_cut": "Ahoy ⚓".encode()[:-1],
        "utf8_of_marks": b"\xef\xbb\xbf" * 50_000,
        "utf7": b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-" * 100,
        "all_bytes": bytes(range(256)) * 100,
        "nulls": bytes(MB),
        "null_in_text": b"Haul\0away\n" * 1000,
        "noise": noise,
        "escapes": b"\x1b[2J\x1b]0;title\x07\x1bP\x1b\\\x9b31m" * 1000,
        "bells": b"\x07\x08\x7f" * 10_000,
        "bidi": "\u202egpj.exe\u202c\u2066\u2069".encode() * 1000,
        "iso2022": b"\x1b$B" + b"\x7e\x7e" * 50_000,
        "only_a_mark": b"\xef\xbb\xbf",
        "utf16_without_mark": ("Haul away \u4e00\n" * 20_000).encode("utf-16-be"),
        "utf32_without_mark": ("Haul away \u4e00\n" * 20_000).encode("utf-32-le"),
        "late_letter": b"x" * (4 * MB) + b"\xfc",
        "pairs": b"\xb0\xa1\xff" * 70_000,
        "escapes_to_japanese": b"\x1b$B" + b"-!" * 100_000 + b"\x1b$)C\x0e" + b"\xff" * 100_000,
        "mostly_utf8": ("\u00fc" * 100).encode() * 1000 + b"\xff" * 9_000,
        "ebcdic": ("Haul away. " * 1000).encode("cp037"),
    }


series("texts", "odd.txt", "An encoding that is none.", _encodings())


@hostile("notes.ipynb")
def notebook_of_outputs() -> bytes:
    """A notebook with a megabyte in one cell."""
    cell = {"cell_type": "code", "source": ["x" * MB], "outputs": [{"data": {"text/html": "<script>"}}]}
    return json.dumps({"nbformat": 4, "cells": [cell] * 3}).encode()


@hostile("anchors.yaml")
def yaml_billion_laughs() -> bytes:
    """Anchors that become gigabytes."""
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(lines).encode()


@hostile("cards.vcf")
def cards_with_pictures() -> bytes:
    """Five thousand cards of folded lines."""
    return b"BEGIN:VCARD\r\nVERSION:3.0\r\nPHOTO;ENCODING=b:" + b"AAAA\r\n " * 100_000 + b"\r\nEND:VCARD\r\n" * 5000


@hostile("script.py")
def script_of_parentheses() -> bytes:
    """Source that a parser would choke on."""
    return b"#!/usr/bin/env python3\nprint(" + b"(" * 500_000


@hostile("mail.mbox")
def mailbox_of_many() -> bytes:
    """Thirty thousand empty mails."""
    return b"From a@example.org Thu Jan  1 00:00:00 1970\n\n" * 30_000
