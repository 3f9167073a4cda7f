"""Linux system calls: calls that Python has no function for, and the numbers of those that the filter names."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache, lru_cache

# Options of prctl(2).
PR_SET_PDEATHSIG = 1  # the signal that this process gets when its parent dies
PR_SET_DUMPABLE = 4  # 0: no other process of this user may trace this one, and it leaves no core dump
PR_SET_CHILD_SUBREAPER = 36  # 1: processes that a child leaves behind become this process's children
PR_SET_NO_NEW_PRIVS = 38  # 1: programs gain no rights from their file, a precondition of Landlock and seccomp

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

#: Values of ``platform.machine()``, in the order of the columns of ``_TABLE``.
MACHINES = ("x86_64", "aarch64")


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """Loaded once in the sandbox's parent; loading it in a child would cost time for each file."""
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """Call ``syscall(2)``; numbers are passed as they are, buffers and structures by address. Raises OSError."""
    libc().syscall.restype = ctypes.c_long
    values = (
        ctypes.c_long(argument)
        if isinstance(argument, int)
        else ctypes.byref(argument)
        if argument is not None
        else None
        for argument in arguments
    )
    result: int = libc().syscall(ctypes.c_long(number), *values)
    return _checked(result)


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    _checked(libc().prctl(option, value, 0, 0, 0))


def drop_capabilities() -> None:
    """Drop all capabilities: root keeps none of its powers; for other users nothing changes."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(libc().capset(header, none))


@cache
def numbers(machine: str) -> Mapping[str, int]:
    """System call numbers by name. Raises ValueError for a machine that is none of MACHINES."""
    column = MACHINES.index(machine) + 1
    rows = (entry.split(":") for entry in _TABLE.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


#: ``name:x86_64:aarch64`` from the kernel's unistd.h; ``-`` if a machine has no such call. Numbers never change.
_TABLE = """
    accept4:288:242 accept:43:202 access:21:- acct:163:89 add_key:248:217 adjtimex:159:171 alarm:37:-
    arch_prctl:158:- bind:49:200 bpf:321:280 brk:12:214 capget:125:90 capset:126:91 chdir:80:49 chmod:90:-
    chown:92:- chroot:161:51 clock_adjtime:305:266 clock_getres:229:114 clock_gettime:228:113
    clock_nanosleep:230:115 clock_settime:227:112 clone:56:220 close:3:57 connect:42:203 copy_file_range:326:285
    creat:85:- delete_module:176:106 dup2:33:- dup3:292:24 dup:32:23 epoll_create1:291:20 epoll_create:213:-
    epoll_ctl:233:21 epoll_pwait2:441:441 epoll_pwait:281:22 epoll_wait:232:- eventfd2:290:19 eventfd:284:-
    execve:59:221 execveat:322:281 exit:60:93 exit_group:231:94 faccessat2:439:439 faccessat:269:48
    fadvise64:221:223 fallocate:285:47 fanotify_init:300:262 fchdir:81:50 fchmod:91:52 fchmodat2:452:452
    fchmodat:268:53 fchown:93:55 fchownat:260:54 fcntl:72:25 fdatasync:75:83 finit_module:313:273 flock:73:32
    fork:57:- fremovexattr:199:16 fsconfig:431:431 fsetxattr:190:7 fsmount:432:432 fsopen:430:430 fspick:433:433
    fstat:5:80 fstatfs:138:44 fsync:74:82 ftruncate:77:46 futex:202:98 futex_waitv:449:449 futimesat:261:-
    get_robust_list:274:100 getcpu:309:168 getcwd:79:17 getdents64:217:61 getdents:78:- getegid:108:177
    geteuid:107:175 getgid:104:176 getgroups:115:158 getitimer:36:102 getpeername:52:205 getpgid:121:155
    getpgrp:111:- getpid:39:172 getppid:110:173 getpriority:140:141 getrandom:318:278 getresgid:120:150
    getresuid:118:148 getrlimit:97:163 getrusage:98:165 getsid:124:156 getsockname:51:204 getsockopt:55:209
    gettid:186:178 gettimeofday:96:169 getuid:102:174 init_module:175:105 inotify_init1:294:26 inotify_init:253:-
    ioctl:16:29 ioperm:173:- iopl:172:- ioprio_set:251:30 kcmp:312:272 kexec_file_load:320:294 kexec_load:246:104
    keyctl:250:219 kill:62:129 lchown:94:- link:86:- linkat:265:37 listen:50:201 lremovexattr:198:15 lseek:8:62
    lsetxattr:189:6 lstat:6:- madvise:28:233 membarrier:324:283 memfd_create:319:279 mincore:27:232 mkdir:83:-
    mkdirat:258:34 mknod:133:- mknodat:259:33 mlock:149:228 mlockall:151:230 mmap:9:222 modify_ldt:154:-
    mount:165:40 mount_setattr:442:442 move_mount:429:429 mprotect:10:226 mremap:25:216 msync:26:227 munlock:150:229
    munmap:11:215 name_to_handle_at:303:264 nanosleep:35:101 newfstatat:262:79 open:2:- open_by_handle_at:304:265
    open_tree:428:428 openat:257:56 pause:34:- perf_event_open:298:241 personality:135:92 pidfd_getfd:438:438
    pidfd_open:434:434 pidfd_send_signal:424:424 pipe2:293:59 pipe:22:- pivot_root:155:41 poll:7:- ppoll:271:73
    prctl:157:167 pread64:17:67 preadv2:327:286 preadv:295:69 prlimit64:302:261 process_madvise:440:440
    process_mrelease:448:448 process_vm_readv:310:270 process_vm_writev:311:271 pselect6:270:72 ptrace:101:117
    pwrite64:18:68 pwritev2:328:287 pwritev:296:70 quotactl:179:60 quotactl_fd:443:443 read:0:63 readahead:187:213
    readlink:89:- readlinkat:267:78 readv:19:65 reboot:169:142 recvfrom:45:207 recvmmsg:299:243 recvmsg:47:212
    removexattr:197:14 rename:82:- renameat2:316:276 renameat:264:38 request_key:249:218 restart_syscall:219:128
    rmdir:84:- rseq:334:293 rt_sigaction:13:134 rt_sigpending:127:136 rt_sigprocmask:14:135 rt_sigqueueinfo:129:138
    rt_sigreturn:15:139 rt_sigsuspend:130:133 rt_sigtimedwait:128:137 rt_tgsigqueueinfo:297:240
    sched_get_priority_max:146:125 sched_get_priority_min:147:126 sched_getaffinity:204:123 sched_getparam:143:121
    sched_getscheduler:145:120 sched_setaffinity:203:122 sched_setattr:314:274 sched_setparam:142:118
    sched_setscheduler:144:119 sched_yield:24:124 seccomp:317:277 select:23:- sendfile:40:71 sendmmsg:307:269
    sendmsg:46:211 sendto:44:206 set_robust_list:273:99 set_tid_address:218:96 setdomainname:171:162
    setfsgid:123:152 setfsuid:122:151 setgid:106:144 setgroups:116:159 sethostname:170:161 setitimer:38:103
    setns:308:268 setpgid:109:154 setpriority:141:140 setregid:114:143 setresgid:119:149 setresuid:117:147
    setreuid:113:145 setrlimit:160:164 setsid:112:157 setsockopt:54:208 settimeofday:164:170 setuid:105:146
    setxattr:188:5 shutdown:48:210 sigaltstack:131:132 socket:41:198 socketpair:53:199 stat:4:- statfs:137:43
    statx:332:291 swapoff:168:225 swapon:167:224 symlink:88:- symlinkat:266:36 sync_file_range:277:84 sysinfo:99:179
    syslog:103:116 tgkill:234:131 time:201:- timerfd_create:283:85 timerfd_gettime:287:87 timerfd_settime:286:86
    times:100:153 tkill:200:130 truncate:76:45 umask:95:166 umount2:166:39 uname:63:160 unlink:87:- unlinkat:263:35
    unshare:272:97 userfaultfd:323:282 utime:132:- utimensat:280:88 utimes:235:- vfork:58:- vhangup:153:58
    write:1:64 writev:20:66
"""
