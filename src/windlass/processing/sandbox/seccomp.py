"""The seccomp filter: which system calls a child may make, and the small assembler that makes a BPF program of them.

Allowed is what Python and the libraries need to work on open files, in memory and in threads. Other calls fail as on a
system that lacks or denies them, and libraries do without. A call that only a compromised child makes kills it.

Landlock restricts which files may be opened; the filter denies every call that opens a file for writing or creates,
renames, removes or changes one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from windlass.processing.sandbox import linux_calls
from windlass.processing.sandbox.linux_calls import MACHINES, numbers

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_INSTRUCTION = struct.Struct("=HBBI")
_LOW = 0xFFFF_FFFF

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000


def refuse(error: int) -> int:
    """The action that makes the call fail with this errno."""
    return 0x0005_0000 | error


#: Stands for the id of the filtered process, which is known only after the fork.
OWN_PROCESS = -1


@dataclass(frozen=True, slots=True)
class Check:
    """Check that an argument's bits under ``mask`` are one of ``values``.

    Only the lower 32 bits are checked, as the kernel reads no more of a descriptor, of flags or of a process id;
    ``wide``: the upper half must be 0.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = _LOW
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What a call leads to: ``action`` if every check holds, else ``otherwise``."""

    action: int
    checks: tuple[Check, ...] = ()
    otherwise: int = KILL


@dataclass(slots=True)
class Program:
    """A BPF program; ``own_process`` are the offsets at which the process's own id is filled in."""

    code: bytearray = field(default_factory=bytearray)
    own_process: list[int] = field(default_factory=list)

    def add(self, operation: int, operand: int, if_true: int = 0, if_false: int = 0) -> None:
        if operand == OWN_PROCESS:
            self.own_process.append(len(self.code) + 4)
            operand = 0
        self.code += _INSTRUCTION.pack(operation, if_true, if_false, operand)

    def for_process(self, pid: int) -> bytes:
        code = bytearray(self.code)
        for place in self.own_process:
            struct.pack_into("=I", code, place, pid)
        return bytes(code)

    def __len__(self) -> int:
        return len(self.code) // _INSTRUCTION.size


DENIED = refuse(errno.EACCES)
#: For calls not named here, such as newer ones: libraries fall back to the older calls.
UNKNOWN = refuse(errno.ENOSYS)

#: AUDIT_ARCH_* of linux/audit.h.
ARCHES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
#: Numbers of x86_64's second table of calls (x32) start here.
X32 = 0x4000_0000
_SET_MODE_FILTER = 1

ALLOWED = """
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek close fsync fdatasync sync_file_range
    ftruncate fallocate fadvise64 readahead sendfile copy_file_range
    stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents getdents64
    getcwd umask dup dup2 dup3 pipe pipe2 eventfd eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 poll ppoll select pselect6
    recvfrom recvmsg sendto sendmsg shutdown getsockopt getsockname getpeername
    munmap mremap mprotect madvise brk mincore msync membarrier mlock munlock
    futex futex_waitv set_robust_list get_robust_list rseq set_tid_address arch_prctl
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getcpu
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack restart_syscall
    pause clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getitimer setitimer alarm
    timerfd_create timerfd_settime timerfd_gettime
    getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid getgroups getpriority
    capget getrandom uname sysinfo getrusage getrlimit exit exit_group
"""

REFUSED = """
    creat truncate mkdir mkdirat mknod mknodat link linkat symlink symlinkat unlink unlinkat rmdir rename renameat
    renameat2 chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr chdir fchdir
    socket socketpair connect bind listen accept accept4 setsockopt sendmmsg recvmmsg
    setsid setpgid setrlimit setpriority sched_setaffinity sched_setscheduler sched_setparam sched_setattr ioprio_set
    setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset
    tkill rt_sigqueueinfo rt_tgsigqueueinfo memfd_create flock personality seccomp syslog inotify_init inotify_init1
    fanotify_init mlockall
"""

KILLED = """
    execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp
    pidfd_open pidfd_getfd pidfd_send_signal process_madvise process_mrelease
    unshare setns mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr
    bpf perf_event_open userfaultfd modify_ldt iopl ioperm
    add_key request_key keyctl open_by_handle_at name_to_handle_at
    init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd
    settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname vhangup
"""

#: Bits of open(2) by which a file is made or changed; O_TMPFILE's own bit too.
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000
_PROT_EXEC = 4
_CLONE_THREAD = 0x0001_0000
#: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, and CLONE_PTRACE.
_CLONE_MORE = 0x7E02_0000 | 0x2000
#: PR_GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, GET_NO_NEW_PRIVS, and PR_SET_VMA, which names memory.
_PRCTL = (3, 15, 16, 21, 23, 39, 0x5356_4D41)
#: F_DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC.
_FCNTL = (0, 1, 2, 3, 4, 1030)
#: TCGETS and TIOCGWINSZ (terminal checks), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
#: The descriptor of a child's file, which must never be mapped as code: libffi, for one, maps its own text again
#: through a descriptor that it opened before the fork, whose number may be this one now.
_FILE = 3

RULED = {
    "open": Rule(ALLOW, (Check(1, (0,), mask=_WRITES),), DENIED),
    "openat": Rule(ALLOW, (Check(2, (0,), mask=_WRITES),), DENIED),
    "clone": Rule(ALLOW, (Check(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_MORE),), KILL),
    "fcntl": Rule(ALLOW, (Check(1, _FCNTL),), DENIED),
    "ioctl": Rule(ALLOW, (Check(1, _IOCTL),), DENIED),
    "prctl": Rule(ALLOW, (Check(0, _PRCTL),), DENIED),
    # A child may read its own limits; one of root could otherwise raise them.
    "prlimit64": Rule(ALLOW, (Check(0, (0, OWN_PROCESS)), Check(2, (0,), wide=True)), DENIED),
    "kill": Rule(ALLOW, (Check(0, (OWN_PROCESS,)),), KILL),
    "tgkill": Rule(ALLOW, (Check(0, (OWN_PROCESS,)),), KILL),
    "mmap": Rule(DENIED, (Check(2, (_PROT_EXEC,), mask=_PROT_EXEC), Check(4, (_FILE,))), ALLOW),
}


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


@lru_cache(maxsize=2)
def program(machine: str) -> Program:
    """The filter for a value of ``platform.machine()``. Raises OSError for an unknown one."""
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known")
    known = numbers(machine)
    named = {
        **dict.fromkeys(ALLOWED.split(), Rule(ALLOW)),
        **dict.fromkeys(REFUSED.split(), Rule(DENIED)),
        **dict.fromkeys(KILLED.split(), Rule(KILL)),
        **RULED,
    }
    rules = {known[name]: rule for name, rule in named.items() if name in known}
    return assemble(ARCHES[machine], rules, UNKNOWN, above=X32 if machine == "x86_64" else None)


def install() -> None:
    """Apply the filter to this process for good. It must have forgone new privileges. Raises OSError."""
    enforce(program(platform.machine()))


def enforce(filtering: Program) -> None:
    code = filtering.for_process(os.getpid())
    linux_calls.call(numbers(platform.machine())["seccomp"], _SET_MODE_FILTER, 0, _FilterProgram(len(filtering), code))


def assemble(arch: int, rules: Mapping[int, Rule], otherwise: int, *, above: int | None = None) -> Program:
    """Make a program. A call of another architecture, or with a number of at least ``above``, kills the process."""
    program = Program()
    program.add(_LOAD, _ARCH_AT)
    program.add(_IF_EQUAL, arch, 1, 0)
    program.add(_RETURN, KILL)
    program.add(_LOAD, _NUMBER_AT)
    if above is not None:
        program.add(_IF_AT_LEAST, above, 0, 1)
        program.add(_RETURN, KILL)
    for number, rule in rules.items():
        body = _rule_body(rule)
        program.add(_IF_EQUAL, number, 0, len(body))
        for instruction in body:
            program.add(*instruction)
    program.add(_RETURN, otherwise)
    return program


_Instruction = tuple[int, int, int, int]


def _rule_body(rule: Rule) -> list[_Instruction]:
    """Returns from the program on every path, so later instructions need not restore what it loads."""
    body = [instruction for check in rule.checks for instruction in _check_body(check, rule.otherwise)]
    return [*body, (_RETURN, rule.action, 0, 0)]


def _check_body(check: Check, otherwise: int) -> list[_Instruction]:
    """Continues after its own end if the check holds, else returns ``otherwise``. Little-endian machines only."""
    place = _ARGUMENTS_AT + 8 * check.argument
    body: list[_Instruction] = []
    if check.wide:
        body += [(_LOAD, place + 4, 0, 0), (_IF_EQUAL, 0, 1, 0), (_RETURN, otherwise, 0, 0)]
    body.append((_LOAD, place, 0, 0))
    if check.mask != _LOW:
        body.append((_AND, check.mask, 0, 0))
    return [*body, *_one_of(check.values), (_RETURN, otherwise, 0, 0)]


def _one_of(values: Sequence[int]) -> list[_Instruction]:
    """Jumps over the instruction that follows if one value is equal."""
    return [(_IF_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
