"""A few seeded faults of each kind of deployment, with clients of every dialect; ``make chaos`` plays as many as asked.

The faults are listed, so that a run always has those that other tests do not have: the database cut and killed at
COMMIT, the store and the scanner away, processes killed while breakers, levels and dead letters change.
"""

from __future__ import annotations

import pytest

from tests.chaos.faults import Fault
from tests.chaos.play import Course, play
from tests.chaos.system import Missing
from tests.conftest import require

#: A machine that runs other tests meanwhile is given more time than the promise.
RECOVERY_SECONDS = 150.0
LISTED = {
    "s3": "kill-store:1 kill-worker:2 cut-store:4 kill-storm:7",
    "redis": "cut-at-commit:1 kill-database-at-commit:3 kill-broker:4 freeze-connections:5 kill-web:6",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", LISTED)
def test_nothing_acknowledged_is_lost_whatever_breaks(mode: str) -> None:
    faults = [Fault.parse(text) for text in LISTED[mode].split()]
    try:
        report = play(mode, faults, 1, print, Course(RECOVERY_SECONDS, think_seconds=0.4))
    except Missing as error:
        require(None, str(error))
    print(report.document())
    assert report.violations == []
    assert report.faults == len(faults)
    assert report.counts["verified files"] > 0
