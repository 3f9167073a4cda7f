"""The filter of system calls, run by a small interpreter of classic BPF: its verdict on calls on every machine."""

from __future__ import annotations

import os
import struct

import pytest

from windlass.processing.sandbox import seccomp
from windlass.processing.sandbox.linux_calls import MACHINES, numbers
from windlass.processing.sandbox.seccomp import ALLOW, KILL

LOAD, AND, RETURN, IF_EQUAL, IF_AT_LEAST = 0x20, 0x54, 0x06, 0x15, 0x35
PID = 4321
THREAD = 0x3D0F00  # the flags with which pthread_create makes one
FORK = 0x1200011  # and fork a process
NEW_USER = 0x10000000


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """As the kernel runs it over struct seccomp_data."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    arch = seccomp.ARCHES[machine] if arch is None else arch
    data = struct.pack("=IIQ6Q", number, arch, 0, *(argument % 2**64 for argument in padded))
    code = list(struct.iter_unpack("=HBBI", seccomp.program(machine).for_process(PID)))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"{operation:#x} is no instruction of ours")


def named_verdict(machine: str, name: str, *arguments: int) -> int:
    return verdict(machine, numbers(machine)[name], *arguments)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_name_has_a_number_and_one_verdict() -> None:
    """A name that is misspelt would be let through to the verdict for unknown calls."""
    named = [*seccomp.ALLOWED.split(), *seccomp.REFUSED.split(), *seccomp.KILLED.split(), *seccomp.RULED]
    known = set().union(*(numbers(machine) for machine in MACHINES))
    assert len(named) == len(set(named))
    assert set(named) <= known
    for machine in MACHINES:
        assert len(set(numbers(machine).values())) == len(numbers(machine))


def test_each_call_gets_the_verdict_of_its_list(machine: str) -> None:
    known = numbers(machine)
    for names, expected in (
        (seccomp.ALLOWED, ALLOW),
        (seccomp.REFUSED, seccomp.DENIED),
        (seccomp.KILLED, KILL),
    ):
        for name in names.split():
            if name in known:
                assert named_verdict(machine, name) == expected, name


def test_an_unknown_call_does_not_exist(machine: str) -> None:
    known = set(numbers(machine).values())
    for number in (*range(1, 600), 10_000):
        if number not in known:
            assert verdict(machine, number) == seccomp.UNKNOWN
    for name in ("clone3", "openat2", "io_uring_setup", "io_uring_enter"):
        assert name not in numbers(machine)


def test_calls_of_other_architectures_kill() -> None:
    for arch in (0x40000003, 0x40000028, 0, 0xFFFFFFFF):  # i386, arm
        for machine in MACHINES:
            assert verdict(machine, numbers(machine)["read"], arch=arch) == KILL
    x32 = 0x40000000
    assert verdict("x86_64", x32 + numbers("x86_64")["read"]) == KILL
    assert verdict("x86_64", 0xFFFFFFFF) == KILL


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (os.O_RDONLY, ALLOW),
        (os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, ALLOW),
        (os.O_WRONLY, seccomp.DENIED),
        (os.O_RDWR | os.O_CLOEXEC, seccomp.DENIED),
        (os.O_CREAT, seccomp.DENIED),
        (os.O_TRUNC, seccomp.DENIED),
        (os.O_APPEND, seccomp.DENIED),
        (os.O_TMPFILE, seccomp.DENIED),
    ],
)
def test_files_can_be_opened_for_reading_only(machine: str, flags: int, expected: int) -> None:
    assert named_verdict(machine, "openat", -100, 0x7FFF00001000, flags) == expected
    if machine == "x86_64":
        assert named_verdict(machine, "open", 0x7FFF00001000, flags) == expected


def test_threads_are_allowed_and_processes_kill(machine: str) -> None:
    assert named_verdict(machine, "clone", THREAD) == ALLOW
    for flags in (FORK, 17, 0, NEW_USER | 17, THREAD | NEW_USER, THREAD | 0x2000):
        assert named_verdict(machine, "clone", flags) == KILL


def test_signals_to_other_processes_kill(machine: str) -> None:
    for name in ("kill", "tgkill"):
        assert named_verdict(machine, name, PID, 9, 9) == ALLOW
        for pid in (0, 1, -1, PID + 1, -PID):
            assert named_verdict(machine, name, pid, 9, 9) == KILL


def test_limits_may_be_read_but_not_set(machine: str) -> None:
    for pid in (0, PID):
        assert named_verdict(machine, "prlimit64", pid, 7, 0, 0x7FFF00001000) == ALLOW
        for new in (0x7FFF00001000, 0x1000, 0x1_0000_0000):  # also one whose lower half is 0
            assert named_verdict(machine, "prlimit64", pid, 7, new, 0) == seccomp.DENIED
    assert named_verdict(machine, "prlimit64", 1, 7, 0, 0x1000) == seccomp.DENIED


def test_prctl_and_fcntl_are_limited(machine: str) -> None:
    for option in (15, 16, 39):
        assert named_verdict(machine, "prctl", option) == ALLOW
    for option in (1, 4, 22, 36, 38, 47):  # die with the parent, dumpable, seccomp, reaper, privileges, capabilities
        assert named_verdict(machine, "prctl", option) == seccomp.DENIED
    assert named_verdict(machine, "fcntl", 3, 1030) == ALLOW
    assert named_verdict(machine, "fcntl", 3, 8) == seccomp.DENIED  # F_SETOWN: signals to whom it names
    assert named_verdict(machine, "ioctl", 3, 0x5401) == ALLOW
    assert named_verdict(machine, "ioctl", 3, 0x5412) == seccomp.DENIED  # TIOCSTI: typing for the user


def test_executable_file_mappings_are_refused(machine: str) -> None:
    reading, running = 1, 1 | 4
    assert named_verdict(machine, "mmap", 0, 4096, reading, 2, 3) == ALLOW
    assert named_verdict(machine, "mmap", 0, 4096, running, 2, 9) == ALLOW
    assert named_verdict(machine, "mmap", 0, 4096, running, 2, 3) == seccomp.DENIED
