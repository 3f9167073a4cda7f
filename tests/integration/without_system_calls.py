"""Runs a command as on a machine without Landlock or seccomp: ``without_system_calls.py landlock,seccomp COMMAND…``.

A seccomp filter around the command makes their system calls fail with ENOSYS.
"""

import errno
import os
import platform
import sys

from windlass.processing.sandbox import linux_calls, seccomp
from windlass.processing.sandbox.linux_calls import numbers
from windlass.processing.sandbox.seccomp import ALLOW, Rule, assemble, refuse

CALLS = {"landlock": 444, "seccomp": numbers(platform.machine())["seccomp"]}

missing = {CALLS[name]: Rule(refuse(errno.ENOSYS)) for name in sys.argv[1].split(",")}
linux_calls.prctl(linux_calls.PR_SET_NO_NEW_PRIVS, 1)
seccomp.enforce(assemble(seccomp.ARCHES[platform.machine()], missing, ALLOW))
os.execv(sys.argv[2], sys.argv[2:])
