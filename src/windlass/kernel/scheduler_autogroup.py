"""The niceness of a session's group in Linux's scheduler.

With ``kernel.sched_autogroup_enabled`` (the default of distributions for desktops and of many servers) the scheduler
shares the processor among sessions first, and looks at the niceness of processes within a session only (sched(7)). So
a process of low priority with a session of its own needs the session's niceness lowered too.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")

#: The kernel accepts one change each 100 ms from all users without CAP_SYS_ADMIN together.
_AGAIN_SECONDS = 0.12
_ATTEMPTS = 10


def lower_own_session() -> None:
    """Give the session of this process the niceness of the process, if it leads the session.

    A session that another process leads, such as a terminal's, has programs in it that are not ours. Does nothing where
    there are no such groups, and where the system does not allow it. Blocks for about a second at most.
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if not nice or os.getsid(0) != os.getpid():
        return
    for _ in range(_ATTEMPTS):
        try:
            _AUTOGROUP.write_text(str(nice))
        except OSError as error:
            if error.errno != errno.EAGAIN:
                return
            time.sleep(_AGAIN_SECONDS)
        else:
            return
