"""A small assembler for seccomp's filters: rules in, a classic BPF program out. Pure.

A program looks at one system call, as struct seccomp_data of linux/seccomp.h tells it, and returns what is to become
of it. Only the lower halves of arguments are looked at unless a check says ``wide``: the kernel itself looks at no
more of a descriptor, of flags or of a process id.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_INSTRUCTION = struct.Struct("=HBBI")
_LOW = 0xFFFF_FFFF

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000


def refuse(error: int) -> int:
    """The call fails with this errno, as if the kernel had said no."""
    return 0x0005_0000 | error


class _OwnProcess:
    """Stands for the id of the process that the filter is for, which is known after the fork only."""


OWN_PROCESS = _OwnProcess()


@dataclass(frozen=True, slots=True)
class Check:
    """Whether an argument's bits under ``mask`` are one of ``values``. ``wide``: its upper half must be 0 too."""

    argument: int
    values: tuple[int | _OwnProcess, ...]
    mask: int = _LOW
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a call: ``action`` where every check holds, else ``otherwise``."""

    action: int
    checks: tuple[Check, ...] = ()
    otherwise: int = KILL


@dataclass(slots=True)
class Program:
    """Instructions, and where among them the process's own id belongs."""

    code: bytearray = field(default_factory=bytearray)
    own_process: list[int] = field(default_factory=list)

    def add(self, operation: int, operand: int | _OwnProcess, if_true: int = 0, if_false: int = 0) -> None:
        if isinstance(operand, _OwnProcess):
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


def assemble(arch: int, rules: Mapping[int, Rule], otherwise: int, *, above: int | None = None) -> Program:
    """A call under another architecture's numbers is killed, and one whose number is at least ``above``."""
    program = Program()
    program.add(_LOAD, _ARCH_AT)
    program.add(_IF_EQUAL, arch, 1, 0)
    program.add(_RETURN, KILL)
    program.add(_LOAD, _NUMBER_AT)
    if above is not None:
        program.add(_IF_AT_LEAST, above, 0, 1)
        program.add(_RETURN, KILL)
    for number, rule in rules.items():
        body = _judge(rule)
        program.add(_IF_EQUAL, number, 0, len(body))
        for instruction in body:
            program.add(*instruction)
    program.add(_RETURN, otherwise)
    return program


_Instruction = tuple[int, int | _OwnProcess, int, int]


def _judge(rule: Rule) -> list[_Instruction]:
    """It returns on every path, so that what it loads is in nobody's way."""
    body = [instruction for check in rule.checks for instruction in _look(check, rule.otherwise)]
    return [*body, (_RETURN, rule.action, 0, 0)]


def _look(check: Check, otherwise: int) -> list[_Instruction]:
    """Goes on behind its own end where the check holds, else returns ``otherwise``. Little-endian machines only."""
    place = _ARGUMENTS_AT + 8 * check.argument
    body: list[_Instruction] = []
    if check.wide:
        body += [(_LOAD, place + 4, 0, 0), (_IF_EQUAL, 0, 1, 0), (_RETURN, otherwise, 0, 0)]
    body.append((_LOAD, place, 0, 0))
    if check.mask != _LOW:
        body.append((_AND, check.mask, 0, 0))
    return [*body, *_one_of(check.values), (_RETURN, otherwise, 0, 0)]


def _one_of(values: Sequence[int | _OwnProcess]) -> list[_Instruction]:
    """Jumps over the instruction that follows the last of these where one is equal."""
    return [(_IF_EQUAL, value, len(values) - place, 0) for place, value in enumerate(values)]
