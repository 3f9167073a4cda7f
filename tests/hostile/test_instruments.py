"""The tools of the hostile tests: the canary reports contact, and mutants are reproducible."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.canary import COLOUR, MARK, Canary
from tests.hostile.catalogue import Bait, catalogue
from tests.hostile.mutator import LARGEST, WAYS, good_samples, mutant
from tests.hostile.runner import Trial, endings
from tests.hostile.sandbox_trial import Ending, _shows

DIGEST = """
import hashlib
from tests.hostile.mutator import mutant
print([hashlib.sha256(mutant(7, n).content).hexdigest() for n in range(60)])
"""


@pytest.fixture
def canary(tmp_path: Path):
    with Canary(tmp_path) as made:
        yield made


def test_the_canary_reports_connections_and_datagrams(canary: Canary) -> None:
    with socket.create_connection(("127.0.0.1", canary.bait().port)) as caller:
        caller.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert caller.recv(100).startswith(b"HTTP/1.0 200")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", canary.bait().port))
    heard: list[str] = []
    while len(heard) < 2:
        heard += canary.heard()
    assert sorted(line.split(":")[0] for line in heard) == [
        "a connection came to the canary",
        "a datagram came to the canary",
    ]
    assert canary.heard() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has inotify")
def test_the_canary_reports_opened_files(canary: Canary) -> None:
    for path in (canary.bait().text, canary.bait().picture, canary.bait().playlist):
        assert canary.heard() == []
        assert Path(path).read_bytes()
        assert canary.heard() == ["a canary file was opened"]
    assert MARK in Path(canary.bait().text).read_text()


def test_the_canarys_colour_is_seen_in_a_picture(canary: Canary) -> None:
    import pyvips

    picture = pyvips.Image.new_from_file(canary.bait().picture)
    assert _shows(picture.webpsave_buffer(Q=80), COLOUR)
    assert not _shows(good_samples()["jpeg"], COLOUR)


def test_every_file_of_the_catalogue_can_be_made_and_baited_ones_name_their_bait() -> None:
    bait = Bait(54321, "/tmp/the-canary.txt", "/tmp/the-canary.png", "/tmp/the-canary.m3u8")
    made = {name: listed.make(bait) for name, listed in catalogue().items()}
    assert len(made) > 300
    naming = [name for name, content in made.items() if b"54321" in content or b"the-canary" in content]
    assert len(naming) > 15
    assert all(listed.about.endswith((".", "…")) for listed in catalogue().values())


def test_a_mutant_is_the_same_in_another_process() -> None:
    result = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str([hashlib.sha256(mutant(7, n).content).hexdigest() for n in range(60)])


def test_mutants_use_every_sample_and_every_mutation() -> None:
    some = [mutant(1, n) for n in range(2000)]
    assert {each.sample for each in some} == set(good_samples())
    ways = Counter(way for each in some for way in each.ways)
    assert set(ways) == {way.__name__ for way in WAYS} | {"inside", "mended"}
    assert max(len(each.content) for each in some) <= LARGEST
    changed = [each for each in some if each.content != good_samples()[each.sample]]
    assert len(changed) > 0.9 * len(some)


def test_another_seed_gives_other_mutants() -> None:
    assert {mutant(1, n).content for n in range(20)} != {mutant(2, n).content for n in range(20)}


def test_a_breach_is_reported_and_its_file_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a negative grace time, every file takes too long."""
    monkeypatch.setenv("HOSTILE_GRACE_SECONDS", "-1000")
    (ending,) = endings([Trial("only_png")], processes=1, keep=tmp_path)
    assert isinstance(ending, Ending)
    assert [breach for breach in ending.breaches if breach.startswith("it took")]
    assert (tmp_path / "only_png-head").read_bytes() == b"\x89PNG\r\n\x1a\n"


def test_one_command_writes_a_file_out(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.hostile", "--seed=7", "--index=3", f"--write={tmp_path}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "mutant-7-3").read_bytes() == mutant(7, 3).content
    assert mutant(7, 3).name in result.stdout
