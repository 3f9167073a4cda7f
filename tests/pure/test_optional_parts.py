"""Libraries load no part that Windlass does not use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = """
import sys
from windlass.cli.environment import set_up_django, use_home
use_home(None)
set_up_django("worker")
import structlog
assert "rich" not in sys.modules
import rich.console
structlog.get_logger().warning("written")
"""


def test_a_process_of_the_server_loads_no_rich_and_others_may(tmp_path: Path) -> None:
    environment = os.environ | {"WINDLASS_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "windlass.settings"}
    run = subprocess.run([sys.executable, "-c", COMMAND], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "written" in run.stderr
