"""Run a program under a seccomp filter: ``python -m tests.seccomp_filter RULES.json PROGRAM ARGUMENT…``.

So tests run Windlass under the filter of Docker or systemd without either. RULES is a list of rules as in Docker's
profiles (names, action, args); what no rule allows fails with EPERM. Needs libseccomp's library.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Rule = dict[str, Any]

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM = 1
_OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def library() -> str | None:
    """The name of libseccomp's library; None where it is not installed."""
    return ctypes.util.find_library("seccomp")


def docker_default(profile: Path) -> list[Rule]:
    """The rules of Docker's profile for a container without capabilities, on this machine's processor."""
    architecture = _ARCHITECTURES[os.uname().machine]

    def applies(rule: Rule) -> bool:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        wanted = includes.get("arches", [architecture])
        return not includes.get("caps") and architecture in wanted and architecture not in excludes.get("arches", [])

    return [rule for rule in json.loads(profile.read_text())["syscalls"] if applies(rule)]


def systemd_unit(filters: Iterable[str]) -> list[Rule]:
    """The rules of the values of ``SystemCallFilter=``, each with sets (``@system-service``) and names."""
    return [{"names": sorted(name for value in filters for name in _names(value.split())), "action": "SCMP_ACT_ALLOW"}]


def _names(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if not word.startswith("@"):
            yield word
            continue
        command = ["systemd-analyze", "--no-pager", "syscall-filter", word]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        yield from _names(line.strip() for line in lines if not line.strip().startswith("#"))


def _install(rules: list[Rule]) -> None:
    found = ctypes.CDLL(library(), use_errno=True)
    found.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(found.seccomp_init(_ERRNO | _EPERM))
    for rule in rules:
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule.get("errnoRet", _EPERM)
        if action == _ERRNO | _EPERM:
            continue  # the default
        comparisons = [
            _Comparison(each["index"], _OPERATORS.index(each["op"].removeprefix("SCMP_CMP_")) + 1, each["value"], two)
            for each in rule.get("args") or []
            for two in [each.get("valueTwo", 0)]
        ]
        array = (_Comparison * len(comparisons))(*comparisons)
        for name in rule["names"]:
            number = found.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:  # else of another processor, or newer than the library
                added = found.seccomp_rule_add_array(context, action, number, len(comparisons), array)
                assert added == 0, f"{name}: {os.strerror(-added)}"
    loaded = found.seccomp_load(context)  # with no_new_privs, as `no-new-privileges` of a container
    assert loaded == 0, os.strerror(-loaded)


def main() -> None:
    rules, program, *arguments = sys.argv[1:]
    _install(json.loads(Path(rules).read_text()))
    os.execvp(program, [program, *arguments])


if __name__ == "__main__":
    main()
