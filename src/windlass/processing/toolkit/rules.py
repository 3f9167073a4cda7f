"""Compares facts with limits. A limit names the fact that it needs: where that is missing, or cannot be, nobody can
tell whether the file keeps to the limit, so it is refused, unless its profile lets in what could not be measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from windlass.processing.contract import Facts, Rejection, StepResult

#: The fact with what could not be measured of a file that was let in all the same: sentences, each shown as a check.
NOT_MEASURED = "not_measured"
GIVES = {NOT_MEASURED: "what a rule needed and could not be measured, where the profile lets such files in"}
WAY_OUT = 'Send it to a profile with unmeasured = "accept" to have it taken without this check.'


@dataclass(frozen=True, slots=True)
class Limit:
    """One fact and its bounds, None where there is none. ``name`` is what the fact is called, ``phrase`` what a file
    does by it (``is {} pixels wide``), ``unit`` that of the bounds. ``needed``: whether files of this kind have the
    fact, so that one in which it cannot be found breaks the rule. ``counts_zero``: whether 0 is a value; for what
    every file has more of, it is not known. ``is_lower_bound``: the file has the fact's value or more; one that has
    reached the bound is beyond it."""

    fact: str
    rule: str
    name: str
    phrase: str
    unit: str
    least: float | None = None
    most: float | None = None
    needed: bool = True
    counts_zero: bool = False
    is_lower_bound: bool = False


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """What a rule needs and nobody knows. ``rule`` is the name under which it is refused."""

    rule: str
    reason: str
    limit: Any = None


def judge(
    findings: Iterable[Rejection | Unmeasured], facts: Facts, profile: Mapping[str, Any], well: str
) -> StepResult:
    """The first rejection decides. What is unmeasured is one, or is noted where the profile lets it in."""
    noted: list[str] = list(facts.get(NOT_MEASURED) or ())
    for finding in findings:
        if isinstance(finding, Rejection):
            return StepResult(verdict=finding)
        if profile.get("unmeasured") != "accept":
            return StepResult(verdict=Rejection(finding.rule, f"{finding.reason} {WAY_OUT}", finding.limit, None))
        noted.append(finding.reason)
    found = {NOT_MEASURED: list(dict.fromkeys(noted))} if noted else {}
    return StepResult(found, detail=f"Not measured: {' '.join(noted)}" if noted else well)


def broken(limits: Iterable[Limit], facts: Facts, subject: str, unreadable: str) -> Iterator[Rejection | Unmeasured]:
    """What breaks each limit. ``subject`` is what the file is called, ``unreadable`` the rule that a fact which cannot
    be found breaks."""
    for limit in limits:
        bounded = limit.least if limit.least is not None else limit.most
        actual: Any = facts.get(limit.fact)
        if bounded is None:
            continue
        if not _is_known(actual, limit):
            if limit.needed:
                yield Unmeasured(unreadable, f"The {subject}'s {limit.name} cannot be read from it.", bounded)
        elif limit.least is not None and actual < limit.least:
            detail = f"The {subject} {limit.phrase.format(actual)}; at least {limit.least} {limit.unit} are needed."
            yield Rejection(limit.rule, detail, limit.least, actual)
        elif limit.most is not None and (actual > limit.most or (limit.is_lower_bound and actual == limit.most)):
            detail = f"The {subject} {limit.phrase.format(actual)}; at most {limit.most} {limit.unit} are allowed."
            yield Rejection(limit.rule, detail, limit.most, actual)


def _is_known(actual: Any, limit: Limit) -> bool:
    if isinstance(actual, bool) or not isinstance(actual, int | float) or not math.isfinite(actual):
        return False
    return actual > 0 or (limit.counts_zero and actual == 0)
