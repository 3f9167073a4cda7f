"""Run a command without some system calls: ``without_system_calls.py landlock,seccomp COMMAND…``.

A seccomp filter around the command answers them as a kernel does that does not have them.
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
