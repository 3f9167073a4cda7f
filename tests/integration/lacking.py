"""Runs a command as on a machine without some walls: ``lacking.py landlock,seccomp COMMAND…``.

A filter of our own stands around the command, in which the calls do not exist.
"""

import errno
import os
import platform
import sys

from windlass.processing.sandbox import seccomp, system
from windlass.processing.sandbox.bpf import ALLOW, Rule, assemble, refuse
from windlass.processing.sandbox.syscalls import numbers

CALLS = {"landlock": 444, "seccomp": numbers(platform.machine())["seccomp"]}

missing = {CALLS[name]: Rule(refuse(errno.ENOSYS)) for name in sys.argv[1].split(",")}
system.forgo_new_privileges()
seccomp.enforce(assemble(seccomp.ARCHES[platform.machine()], missing, ALLOW))
os.execv(sys.argv[2], sys.argv[2:])
