"""Archives through the whole plan, in the real sandbox: containers by structure whatever their names and types, and
what the tools of this machine make."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest

from tests import samples
from tests.archive_samples import cpio, sparse_tar, with_zip64, zip_of
from tests.conftest import require
from tests.hostile.catalogue import catalogue
from tests.hostile.files.archives import Entry, deflated_zeros, zipped
from tests.integration.processing.received_files import processed, scratch, step
from windlass import conf
from windlass.files.api import FileStatus, StepState
from windlass.http.file_records import file_record

MB = 1024 * 1024
Setter = Callable[..., None]


def bomb(name: str = "zeros", megabytes: int = 32) -> bytes:
    return zipped([Entry(name.encode(), deflated_zeros(megabytes), 8, size=megabytes * MB)])


def slip(name: str) -> bytes:
    return catalogue()[name].make(None)  # type: ignore[arg-type]  # archives have no bait


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (slip("zip_slip"), "slip.zip"),
        (slip("tar_slip"), "slip.tar"),
        (gzip.compress(slip("tar_slip")), "slip.tar.gz"),
    ],
    ids=["zip", "tar", "tar.gz"],
)
def test_asvs_5_2_5_archives_with_links_and_absolute_paths_are_refused(
    with_profile: Callable[[str], None], content: bytes, filename: str
) -> None:
    """By default. A profile can accept them."""
    asset = processed(content, filename)
    assert (asset.status, asset.rejection["rule"]) == (FileStatus.REJECTED, "unsafe-names")
    assert "unsafe_names = true" in asset.rejection["detail"]
    assert not asset.gate_passed
    with_profile('unsafe_names = true\nunmeasured = "accept"')
    assert processed(content, filename).status == FileStatus.READY


@pytest.mark.parametrize("name", ["zip_slip", "tar_slip"])
def test_asvs_5_3_3_paths_in_archives_are_counted_and_never_used(
    with_profile: Callable[[str], None], name: str
) -> None:
    with_profile('unsafe_names = true\nunmeasured = "accept"')
    asset = processed(slip(name), f"{name}.bin")
    assert asset.extra_attributes["unsafe_names"] >= 5
    named = [path for root in (conf.get().windlass_home, Path("/tmp"), Path("/etc")) for path in root.glob("*slip*")]
    assert [path for path in named if path.name.startswith("slipped")] == []
    assert scratch() == []


@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (with_zip64(bomb()), "a.zip"),
        (bomb(), "a.cbz"),
        (bomb("doc.kml"), "a.kmz"),
        (bomb("3D/3dmodel.model"), "a.3mf"),
        (bomb("META-INF/MANIFEST.MF"), "a.jar"),
        (bomb(), "a.whl"),
        (bomb(), "model.pt"),
        (bomb(), "unnamed"),
        (b"x" + bomb(), "a.bin"),
        (samples.png() + bomb(), "a.png"),
        (samples.jpeg() + gzip.compress(b"x") + bomb(), "a.jpg"),
        (lzma.compress(bytes(32 * MB), lzma.FORMAT_ALONE), "a.lzma"),
        (lz4.frame.compress(bytes(32 * MB)), "a.lz4"),
        (gzip.compress(bytes(32 * MB)) + b"x", "a.svgz"),
        (cpio({"a": gzip.compress(bytes(32 * MB))}), "a.cpio"),
        (sparse_tar("0.1", 1 << 40), "a.tar"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_asvs_5_2_3_a_zip_bomb_is_rejected_whatever_its_name(content: bytes, filename: str) -> None:
    asset = processed(content, filename)
    assert asset.status == FileStatus.REJECTED, (asset.mime_type, asset.extra_attributes)
    assert asset.rejection["rule"] in ("archive-ratio", "unpacked-size"), asset.rejection
    assert not asset.gate_passed


def test_a_profile_may_accept_unmeasured_archives(settings: Setter, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('[default]\nunmeasured = "accept"\n')
    settings(WINDLASS_PROFILES=tmp_path / "profiles.toml")
    asset = processed(zip_of({"a.txt": b"Haul away." * 50})[:-30], "a.zip")
    assert asset.status == FileStatus.READY
    checks = file_record(asset)["checks"]
    assert [check["state"] for check in checks if check["name"] == "not measured"] == ["passed"]
    assert processed(bomb(), "b.zip").status == FileStatus.REJECTED


def make(directory: Path, tool: str, *command: str) -> bytes:
    """What a tool makes of a few files. CI has each of them but Java's."""
    if tool == "jar" and shutil.which(tool) is None:
        pytest.skip("jar is not on PATH (Java is not installed)")
    require(shutil.which(tool), f"{tool} is not on PATH")
    (directory / "a.txt").write_text("Haul away. " * 999)
    (directory / "b").mkdir()
    (directory / "b" / "c.jpg").write_bytes(samples.jpeg())
    (directory / "link").symlink_to("b/c.jpg")
    (directory / "b" / "up").symlink_to("../a.txt")
    (directory / "hard").hardlink_to(directory / "a.txt")
    (directory / "inner.zip").write_bytes(zip_of({"x.txt": b"x" * 99}))
    with (directory / "hole").open("wb") as sparse:
        sparse.seek(5 * MB)
        sparse.write(b"the end")
    ended = subprocess.run([tool, *command], cwd=directory, capture_output=True, check=True)
    made = directory / "made"
    return made.read_bytes() if made.exists() else ended.stdout


@pytest.mark.parametrize(
    ("filename", "command"),
    [
        ("a.zip", "zip -qr made.zip a.txt b inner.zip"),
        ("b.zip", "zip -qr -fz - a.txt b inner.zip"),
        ("c.zip", "zip -qr -P secret - a.txt b"),
        ("d.zip", "zip -qr -0 - a.txt b hole"),
        ("e.jar", "jar cf made a.txt b inner.zip"),
        ("f.tar", "tar -cSf made a.txt b hole"),
        ("links.tgz", "tar -czf made a.txt b link b/up hard"),
        ("g.tar", "tar -cSf made --format=pax a.txt hole"),
        ("h.tar", "tar -cSf made --format=pax --sparse-version=0.1 a.txt hole"),
        ("i.tgz", "tar -czf made a.txt b inner.zip"),
        ("j.tar.xz", "tar -cJf made a.txt b inner.zip"),
        ("k.xz", "xz -kc a.txt"),
        ("l.lzma", "xz -kc --format=lzma a.txt"),
        ("m.zst", "zstd -qc a.txt"),
        ("n.lz4", "lz4 -qc a.txt"),
        ("o.a", "ar rc made a.txt b/c.jpg"),
        ("p.bz2", "bzip2 -kc a.txt"),
        ("q.gz", "gzip -kc b/c.jpg"),
    ],
)
def test_archives_of_common_tools_become_ready(filename: str, command: str, tmp_path: Path) -> None:
    content = make(tmp_path, *command.replace("made.zip", "-").split())
    asset = processed(content, filename)
    assert asset.status == FileStatus.READY, (asset.mime_type, asset.rejection)
    assert step(asset, "archive_facts").state == StepState.DONE
    assert "not_measured" not in asset.extra_attributes
