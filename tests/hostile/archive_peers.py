"""Differential fuzzing of the inspection of archives: damaged ones are read by ours and by programs that people use.

Where a program lists more entries, or unpacks more bytes, than ours reports and the rules let pass, a bomb could get
through: our figures must be the larger ones, or the file must be refused. ``make hostile`` runs this at length;
archive ``index`` of seed ``seed`` is always the same one, as long as the tools that make the good ones are.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.archive_samples import with_zip64
from tests.hostile import mutator
from windlass.files.profiles import Profile
from windlass.processing.contract import StepContext, Unreadable
from windlass.processing.steps.archive_facts import ArchiveFacts
from windlass.processing.steps.content_and_archive_rules import ArchiveRules

#: Programs that must be on PATH, by the Debian package that has them.
PROGRAMS = {"bsdtar": "libarchive-tools", "7z": "p7zip-full", "unzip": "unzip"}

_MIB = 1024 * 1024
#: Bytes after which a program has unpacked enough; no good archive holds as many.
_MOST_UNPACKED = 32 * _MIB
_SECONDS = 20.0
#: 7z would find a compressed stream at any offset of any file; the inspection is of files that are archives.
_FROM_START = ("-t*:s0",)
_PROFILE = Profile("peers")
#: What zipfile raises for damaged files, now and then without meaning to.
_ZIPFILE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    IndexError,
    KeyError,
    AttributeError,
)


@dataclass(frozen=True)
class Reading:
    """What one reader finds in an archive: entries that it lists, and bytes that it unpacks."""

    entries: int = 0
    unpacked: int = 0


@dataclass(frozen=True)
class Comparison:
    """``ours`` is None where the archive is refused."""

    name: str
    content: bytes = field(repr=False)
    ours: Reading | None
    peers: Mapping[str, Reading]

    @property
    def faults(self) -> list[str]:
        """The programs that find more than we let pass; empty where there is none."""
        ours = self.ours
        if ours is None:
            return []
        return [
            f"{peer} finds {theirs}, and we let {ours} pass"
            for peer, theirs in self.peers.items()
            if theirs.entries > ours.entries or theirs.unpacked > ours.unpacked
        ]


def compare(seed: int, index: int, directory: Path) -> Comparison:
    """Read one damaged archive with every reader. The file is in ``directory`` while the programs read it."""
    name, content = damaged_archive(seed, index)
    path = directory / f"{index}{Path(name.split(':', maxsplit=1)[0]).suffix}"
    path.write_bytes(content)
    try:
        return Comparison(name, content, our_reading(content), {peer: read(path) for peer, read in PEERS.items()})
    finally:
        path.unlink()


def our_reading(content: bytes) -> Reading | None:
    """What our steps report of the archive; None where the rules of a profile with the default limits refuse it."""
    facts = {"mime_type": "application/zip", "size": len(content)}
    try:
        found = ArchiveFacts().run(StepContext(io.BytesIO(content), facts, _PROFILE.document(), io.BytesIO())).facts
    except Unreadable:
        return None
    facts |= found
    if ArchiveRules().run(StepContext(io.BytesIO(content), facts, _PROFILE.document())).verdict is not None:
        return None
    entries = int(facts.get("entries", 0)) + int(facts.get("inner_entries", 0))
    # A file that is compressed as a whole has no entries of its own; programs list one.
    unlisted = "entries" not in facts
    return Reading(entries + unlisted, int(facts["unpacked_size"]) + int(facts.get("inner_unpacked_size", 0)))


def damaged_archive(seed: int, index: int) -> tuple[str, bytes]:
    """The name of the good archive with what was done to it, and the bytes."""
    rng = random.Random(f"archive {seed}/{index}")
    good = good_archives()
    name = rng.choice(list(good))
    content, done = good[name], list[str]()
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        way = rng.choice(_WAYS)
        done.append(way.__name__.lstrip("_"))
        content = way(rng, content)[: 4 * _MIB]
    return f"{name}: {', '.join(done) or 'as it is'}", content


@cache
def good_archives() -> Mapping[str, bytes]:
    """Small archives by file name. Those of 7z are made by the program, of files with fixed times."""
    files = {
        "a.txt": b"Haul away the anchor.\n" * 40,
        "dir/b.bin": random.Random(1).randbytes(3000),
        "zeros": bytes(200_000),
        "empty": b"",
    }
    zips = {"stored.zip": _zip(files, zipfile.ZIP_STORED), "deflated.zip": _zip(files, zipfile.ZIP_DEFLATED)}
    tars = {f"{form}.tar": _tar(files, number) for form, number in (("ustar", 0), ("gnu", 1), ("pax", 2))}
    return {
        **zips,
        "bzip2.zip": _zip(files, zipfile.ZIP_BZIP2),
        "lzma.zip": _zip(files, zipfile.ZIP_LZMA),
        "zip64.zip": with_zip64(zips["deflated.zip"], full=True),
        "behind.zip": b"#!/bin/sh\n" * 50 + zips["deflated.zip"],
        "nested.zip": _zip({"inner.zip": zips["deflated.zip"], "inner.tar": tars["gnu.tar"]}, zipfile.ZIP_STORED),
        **tars,
        "a.tar.gz": gzip.compress(tars["pax.tar"], mtime=0),
        "a.tar.bz2": bz2.compress(tars["gnu.tar"]),
        "a.tar.xz": lzma.compress(tars["ustar.tar"]),
        "a.gz": gzip.compress(files["zeros"] + files["a.txt"], mtime=0),
        "two.gz": gzip.compress(files["a.txt"], mtime=0) + gzip.compress(files["zeros"], mtime=0),
        "a.xz": lzma.compress(files["zeros"]),
        "a.bz2": bz2.compress(files["zeros"]),
        **{f"{name}.7z": _sevenzip(files, options) for name, options in _SEVENZIP_OPTIONS.items()},
    }


_SEVENZIP_OPTIONS = {
    "copy": ("-mx=0",),
    "lzma2": ("-m0=lzma2",),
    "lzma": ("-m0=lzma",),
    "deflate": ("-m0=deflate",),
    "bzip2": ("-m0=bzip2", "-ms=off"),
    "plain-header": ("-m0=lzma2", "-mhc=off"),
}


def _zip(files: Mapping[str, bytes], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def _tar(files: Mapping[str, bytes], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in files.items():
            # A long name needs a header of its own, where the form has one.
            entry = tarfile.TarInfo(name if form == tarfile.USTAR_FORMAT else f"{name}-{'x' * 120}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _sevenzip(files: Mapping[str, bytes], options: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            path = Path(directory, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (0, 0))
        command = ["7z", "a", "-t7z", "-mmt=1", "-mtm=off", *options, "out.7z", *files]
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        return Path(directory, "out.7z").read_bytes()


def _joined(rng: random.Random, data: bytes) -> bytes:
    """Another archive before it, behind it, or in its middle."""
    other = rng.choice(list(good_archives().values()))
    at = rng.choice((0, len(data), rng.randrange(len(data) + 1)))
    return data[:at] + other + data[at:]


def _crossed(rng: random.Random, data: bytes) -> bytes:
    """The beginning of this and the end of another archive."""
    other = rng.choice(list(good_archives().values()))
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :]


def _flipped_once(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


_WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    mutator.truncated,
    mutator.flipped,
    mutator.overwritten,
    mutator.repeated,
    mutator.shortened,
    mutator.swapped,
    mutator.measured,
    mutator.measured,
    _flipped_once,
    _flipped_once,
    _joined,
    _crossed,
)


def _zipfile(path: Path) -> Reading:
    entries = unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                entries += 1
                try:
                    with archive.open(entry) as content:
                        while unpacked < _MOST_UNPACKED and (block := content.read(_MIB)):
                            unpacked += len(block)
                except _ZIPFILE_ERRORS:
                    continue
    except _ZIPFILE_ERRORS:
        pass
    return Reading(entries, unpacked)


def _unzip(path: Path) -> Reading:
    if _run(["unzip", "-l", str(path)]).returncode == 9:  # "the specified zipfile was not found"
        return Reading()  # -Z searches more of the file for a directory than unzip itself, which unpacks nothing then
    names = _output(["unzip", "-Z", "-1", str(path)])
    return Reading(names.count(b"\n"), _size_of_output(["unzip", "-P", "", "-p", str(path)]))


def _bsdtar(path: Path) -> Reading:
    names = _output(["bsdtar", "-tf", str(path)])
    return Reading(names.count(b"\n"), _size_of_output(["bsdtar", "-xOf", str(path)]))


def _seven_zip(path: Path) -> Reading:
    listed = _output(["7z", "l", "-ba", "-slt", *_FROM_START, "-p", str(path)])
    entries = sum(line.startswith(b"Path = ") for line in listed.splitlines())
    return Reading(entries, _size_of_output(["7z", "e", "-so", *_FROM_START, "-p", str(path)]))


PEERS: Mapping[str, Callable[[Path], Reading]] = {
    "zipfile": _zipfile,
    "unzip": _unzip,
    "bsdtar": _bsdtar,
    "7z": _seven_zip,
}


def _output(command: list[str]) -> bytes:
    """What the program prints; whether it complains does not matter."""
    return _run(command).stdout


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=False,
        env=environment,
    )


def _size_of_output(command: list[str]) -> int:
    """Bytes that the program writes, until it ends or has written enough."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        size = 0
        while size < _MOST_UNPACKED and (block := process.stdout.read1(_MIB)):
            size += len(block)
        timer.cancel()
        process.kill()
    return size


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.archive_peers", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="damaged archives (500)")
    parser.add_argument("--seed", type=int, default=1, help="their seed (1)")
    parser.add_argument("--index", type=int, help="this archive only")
    parser.add_argument("--keep", type=Path, help="directory for the archives of which a program finds more")
    asked = parser.parse_args()
    if missing := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        print(f"Not compared with other programs; install: {' '.join(missing)}")
        return 0
    faulty = 0
    with tempfile.TemporaryDirectory() as directory:
        for index in range(asked.count) if asked.index is None else [asked.index]:
            comparison = compare(asked.seed, index, Path(directory))
            for fault in comparison.faults:
                print(f"archive {asked.seed}/{index} ({comparison.name}): {fault}", flush=True)
            faulty += bool(comparison.faults)
            if comparison.faults and asked.keep is not None:
                asked.keep.mkdir(parents=True, exist_ok=True)
                (asked.keep / f"archive-{asked.seed}-{index}").write_bytes(comparison.content)
    print(f"{asked.count if asked.index is None else 1} archives compared, {faulty} with a program that finds more")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
