"""Damaged archives, read by ours and by zipfile, unzip, bsdtar and 7z: none finds more than we let pass.

``HOSTILE_SEED`` and ``HOSTILE_ARCHIVES`` choose others; ``make hostile`` compares thousands.
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import require
from tests.hostile.archive_peers import PEERS, PROGRAMS, Comparison, Reading, compare, good_archives, our_reading

SEED = int(os.environ.get("HOSTILE_SEED", "20"))
ARCHIVES = int(os.environ.get("HOSTILE_ARCHIVES", "150"))


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program, package in PROGRAMS.items():
        require(shutil.which(program), f"{program} is not on PATH (Debian: {package})")


@pytest.mark.timeout(300)
def test_no_program_unpacks_more_of_a_damaged_archive_than_we_measure(tmp_path: Path) -> None:
    compared = [compare(SEED, index, tmp_path) for index in range(ARCHIVES)]
    assert {each.name: each.faults for each in compared if each.faults} == {}
    # Neither everything refused nor everything let pass; every program read something.
    assert 0 < sum(each.ours is None for each in compared) < ARCHIVES
    assert all(any(each.peers[peer].unpacked for each in compared) for peer in PEERS)


def test_every_good_archive_passes_and_is_read_by_a_program(tmp_path: Path) -> None:
    for name, content in good_archives().items():
        path = tmp_path / name
        path.write_bytes(content)
        ours = our_reading(content)
        assert ours is not None, name
        assert not Comparison(name, content, ours, {peer: read(path) for peer, read in PEERS.items()}).faults
        assert any(read(path).unpacked >= 200_000 for read in PEERS.values()), name


def test_a_reader_that_measures_less_is_detected(tmp_path: Path) -> None:
    comparison = compare(SEED, 0, tmp_path)
    blind = Comparison(comparison.name, comparison.content, Reading(), {"zipfile": Reading(1, 1)})
    assert blind.faults


def test_a_zip_file_behind_a_gzip_file_is_listed() -> None:
    """Found by comparing: the entries of the second archive in a file were left out."""
    out = io.BytesIO(good_archives()["a.gz"])
    out.seek(0, io.SEEK_END)
    with zipfile.ZipFile(out, "a") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
    found = our_reading(out.getvalue())
    assert found is not None
    assert found.entries >= 20_000
