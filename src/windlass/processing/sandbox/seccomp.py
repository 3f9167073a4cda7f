"""Which system calls a child may make: what Python and the libraries need to work on open files, in memory, in threads.

The rest fails, as on a system that does not have it or does not permit it: libraries try, and do without. What only
somebody who has taken the child over would try ends it.

Which files may be opened is Landlock's business: here no call is let through that opens one for writing, makes,
renames, removes or changes one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from functools import lru_cache

from windlass.processing.sandbox import system
from windlass.processing.sandbox.bpf import ALLOW, KILL, OWN_PROCESS, Check, Program, Rule, assemble, refuse
from windlass.processing.sandbox.syscalls import MACHINES, numbers

DENIED = refuse(errno.EACCES)
#: Calls that are not named here, such as newer ones: libraries fall back upon what they used before there were any.
UNKNOWN = refuse(errno.ENOSYS)

#: AUDIT_ARCH_* of linux/audit.h.
ARCHES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
#: x86_64's second table of calls (x32) has its numbers from here on.
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
#: TCGETS and TIOCGWINSZ (is it a terminal?), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

RULED = {
    "open": Rule(ALLOW, (Check(1, (0,), mask=_WRITES),), DENIED),
    "openat": Rule(ALLOW, (Check(2, (0,), mask=_WRITES),), DENIED),
    "clone": Rule(ALLOW, (Check(0, (_CLONE_THREAD,), mask=_CLONE_THREAD | _CLONE_MORE),), KILL),
    "fcntl": Rule(ALLOW, (Check(1, _FCNTL),), DENIED),
    "ioctl": Rule(ALLOW, (Check(1, _IOCTL),), DENIED),
    "prctl": Rule(ALLOW, (Check(0, _PRCTL),), DENIED),
    # One's own limits may be read. A child that was root's could otherwise raise them.
    "prlimit64": Rule(ALLOW, (Check(0, (0, OWN_PROCESS)), Check(2, (0,), wide=True)), DENIED),
    "kill": Rule(ALLOW, (Check(0, (OWN_PROCESS,)),), KILL),
    "tgkill": Rule(ALLOW, (Check(0, (OWN_PROCESS,)),), KILL),
}


#: Where a child's file lies. It is never to be run: libffi, for one, maps its own text anew through a descriptor that
#: it opened before the fork, whose number may be this one by now.
_FILE = 3
RULED["mmap"] = Rule(DENIED, (Check(2, (_PROT_EXEC,), mask=_PROT_EXEC), Check(4, (_FILE,))), ALLOW)


class _FilterProgram(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


@lru_cache(maxsize=2)
def program(machine: str) -> Program:
    """The filter for a machine, by the name that ``platform.machine()`` gives it. Raises OSError for an unknown one."""
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
    """Close this process for good; call it last. It must have forgone new privileges. Raises OSError."""
    enforce(program(platform.machine()))


def enforce(filtering: Program) -> None:
    code = filtering.for_process(os.getpid())
    system.call(numbers(platform.machine())["seccomp"], _SET_MODE_FILTER, 0, _FilterProgram(len(filtering), code))
