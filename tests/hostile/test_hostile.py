"""Every hostile file and some mutants, through the whole plan: each ends, with a reason.

What is checked of each is in ``sandbox_trial.py``. ``HOSTILE_SEED`` and ``HOSTILE_MUTANTS`` choose other mutants;
``make hostile`` takes thousands. A file that violates a guarantee is written to the directory that the failure names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hostile.catalogue import catalogue
from tests.hostile.runner import Trial, endings, hand_made, mutants
from tests.hostile.sandbox_trial import Ending

SEED = int(os.environ.get("HOSTILE_SEED", "20"))
MUTANTS = int(os.environ.get("HOSTILE_MUTANTS", "60"))

#: The run of all files is part of the first test that asks for one.
pytestmark = pytest.mark.timeout(900)


#: What a profile with limits rejects, and a part of the reason.
REFUSED = {
    "zip_flat": "packed 1011.06 to 1; at most 100",
    "zip_with_redundant_zip64_records": "packed 1010.99",
    "zip_with_a_signature_record": "packed 1011.",
    "zip_behind_one_byte": "packed 1011.",
    "zip_named_as_comics": "packed 1011.",
    "zip_of_a_map": "packed 1011.",
    "docx_with_an_unknown_method": "packed at least 100.",
    "zip_with_a_directory_in_a_comment": "packed at least 100.",
    "zip_in_a_stored_zip": "unpacks to at least",
    "zip_that_lies": "packed at least 100.",
    "gzip_of_gzip": "at least",
    "gzip_with_a_byte_behind_it": "packed at least",
    "lzma_bomb": "packed at least",
    "lz4_bomb": "at least",
    "compress_bomb": "packed at least",
    "seven_zip_of_absurd_count": "2000000 entries; at most 10000",
    "tar_of_a_sparse_file": "unpacks to 1099511627776 bytes",
    "zip_overlapping": "20001 entries; at most 10000",
    "zip_of_many": "65000 entries; at most 10000",
    "zip64_of_absurd_size": "unpacks to 9007199254740991 bytes",
    "zip_locked": "locked with a password",
    "zstd_bomb": "packed at least",
    "tar_of_absurd_sizes": "unpacks to 9007199254740991 bytes",
    "png_of_65535_squared": "4294836225 pixels; at most 50000000",
    "jpeg_of_65500_squared": "4290250000 pixels",
    "tiff_bomb": "1073741824 pixels",
    "webp_bomb": "268402689 pixels",
    "pdf_of_many_pages": "100000 pages; at most 1000",
    "mp4_that_says_a_thirtieth": "lasts 5",
    "mp4_with_a_faster_clock": "lasts 5",
    "webm_that_says_a_tenth_of_a_second": "lasts 5",
    "mp3_that_says_ten_frames": "lasts 5",
    "wav_that_goes_on_behind_its_end": "lasts 5",
    "aiff_that_goes_on_behind_its_end": "duration cannot be read",
    "mp3_behind_a_false_tag": "lasts 5",
}


@pytest.fixture(scope="module")
def saved_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "kept"


@pytest.fixture(scope="module")
def endings_by_name(saved_files: Path) -> Mapping[str, Ending]:
    """How each file ended, by name."""
    trials = [*hand_made("boundless"), *mutants(SEED, MUTANTS)]
    return {ending.name: ending for ending in endings(trials, processes=2, keep=saved_files)}


@pytest.mark.parametrize("name", list(catalogue()))
def test_a_hostile_file_breaches_no_guarantee(
    name: str, endings_by_name: Mapping[str, Ending], saved_files: Path
) -> None:
    assert endings_by_name[name].breaches == [], f"{catalogue()[name].about} It lies in {saved_files}."


@pytest.fixture(scope="module")
def endings_with_limits(saved_files: Path) -> Mapping[str, Ending]:
    """These are refused before they burn much: on a busy machine, too, no step is ended by its time."""
    trials = [Trial(name, profile="limited") for name in REFUSED]
    return {ending.name: ending for ending in endings(trials, processes=2, keep=saved_files, step_seconds=60)}


@pytest.mark.parametrize(("name", "said"), REFUSED.items())
def test_a_bomb_is_refused_with_its_figures(name: str, said: str, endings_with_limits: Mapping[str, Ending]) -> None:
    assert endings_with_limits[name].status == "REJECTED"
    assert said in endings_with_limits[name].reason
    assert endings_with_limits[name].breaches == []


def test_damaged_files_breach_no_guarantee(endings_by_name: Mapping[str, Ending], saved_files: Path) -> None:
    tried = {name: ending for name, ending in endings_by_name.items() if name.startswith("mutant ")}
    assert len(tried) == MUTANTS
    assert {name: ending.breaches for name, ending in tried.items() if ending.breaches} == {}, (
        f"They lie in {saved_files}."
    )


def test_hostile_files_are_recognized_and_parsed(endings_by_name: Mapping[str, Ending]) -> None:
    """Not every file was rejected by the first step: types were detected, and steps failed on what they parsed."""
    assert len({ending.mime_type for ending in endings_by_name.values()}) > 40
    assert sum(1 for ending in endings_by_name.values() if ending.steps) > 50
    assert all(ending.peak_memory > 0 for ending in endings_by_name.values())
