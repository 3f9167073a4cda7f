"""How the matches of a search become one score."""

from __future__ import annotations

import uuid

import pytest

from windlass.knowledge.fusion import MEANING, NAME, WORDS, fuse, score_of_words
from windlass.knowledge.matches import Match

FIRST, SECOND, THIRD = (uuid.UUID(int=number) for number in (1, 2, 3))


def test_a_share_of_the_words_outweighs_every_rank() -> None:
    assert score_of_words(1.0, 5.0, 5.0) == 1
    assert score_of_words(1.0, 0.1, 5.0) > score_of_words(0.75, 5.0, 5.0)
    assert score_of_words(0.5, 0.0, 0.0) == 0.45


def test_matches_of_a_passage_are_added_and_a_file_has_its_best_passage() -> None:
    words = [Match(1, FIRST, 1.0), Match(2, SECOND, 0.6)]
    meanings = [[Match(2, SECOND, 0.9), Match(3, FIRST, 0.7), Match(4, THIRD, 0.5)]]
    fused = fuse(words, meanings, [])
    assert fused.files == pytest.approx({FIRST: WORDS, SECOND: WORDS * 0.6 + MEANING, THIRD: 0})
    assert fused.passages == {SECOND: [2], FIRST: [1, 3], THIRD: [4]}


def test_of_two_models_the_better_match_counts() -> None:
    """The cosines of one are near 1 whatever is asked, those of the other are not."""
    one = [Match(1, FIRST, 0.98), Match(2, SECOND, 0.96)]
    other = [Match(2, SECOND, 0.4), Match(1, FIRST, 0.3), Match(3, THIRD, 0.2)]
    fused = fuse([], [one, other], [])
    assert fused.files == pytest.approx({FIRST: MEANING, SECOND: MEANING, THIRD: 0})
    assert fuse([], [[]], []).files == {}
    assert fuse([], [[Match(1, FIRST, 0.2)]], []).files == {FIRST: MEANING}


def test_a_name_counts_as_much_as_all_words_and_earlier_ones_more() -> None:
    fused = fuse([Match(1, FIRST, 1.0)], [], [SECOND, FIRST])
    assert fused.files == pytest.approx({FIRST: WORDS + NAME * 0.95, SECOND: NAME})
