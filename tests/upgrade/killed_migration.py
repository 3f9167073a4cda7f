"""Migrate this environment's database in processes that SIGKILL themselves after a number of statements.

``python -m tests.upgrade.killed_migration SEED KILLS`` prints how many were killed: fewer than KILLS if the migration
is complete before.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Any

from tests import django_home

#: About as many as a large migration has: most processes are killed before they have applied all.
MOST_STATEMENTS = 25


def migrate_until(statement: int) -> None:
    """Apply the migrations; die as soon as this many statements have been run."""
    from django.db import connection

    from windlass.cli.server_setup import apply_migrations

    left = statement

    def count_down(execute: Any, *arguments: Any) -> Any:
        nonlocal left
        result = execute(*arguments)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    connection.execute_wrappers.append(count_down)
    apply_migrations(verbosity=0)


def main(seed: int, kills: int) -> int:
    """Return how many processes were killed. Each is a child of this one, which never connects to the database."""
    chance = random.Random(seed)
    for killed in range(kills):
        statement = chance.randrange(1, MOST_STATEMENTS)
        child = os.fork()
        if not child:
            migrate_until(statement)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), status
        if not status:
            return killed
    return kills


if __name__ == "__main__":
    django_home.set_up_here()
    import windlass.cli.server_setup  # noqa: F401  imported once, not in each child

    print(main(*map(int, sys.argv[1:])))
