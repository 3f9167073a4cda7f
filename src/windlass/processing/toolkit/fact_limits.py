"""Compare facts with limits.

A limit names the fact that it needs. If the fact is missing or impossible, nobody knows whether the file is within the
limit, so the file is refused, unless its profile accepts unmeasured files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from windlass.processing.contract import Facts, Rejection, StepResult

#: The fact of an accepted file that lists what could not be measured: sentences, each shown as a check.
NOT_MEASURED = "not_measured"
GIVES = {NOT_MEASURED: "what a rule needed and could not be measured, where the profile lets such files in"}
WAY_OUT = 'Send it to a profile with unmeasured = "accept" to have it taken without this check.'


@dataclass(frozen=True, slots=True)
class Limit:
    """One fact and its bounds; a bound of None is no limit.

    ``name`` is the fact in messages, ``phrase`` a statement about the file (``is {} pixels wide``), ``unit`` that of
    the bounds. ``needed``: files of this kind have the fact, so a file without it breaks the rule. ``counts_zero``: 0
    is a value; otherwise 0 means that the fact is unknown. ``is_lower_bound``: the file has this value or more, so a
    file that reaches the upper bound exceeds it.
    """

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
    """A fact that a rule needs and that is unknown. ``rule`` is the rule of the refusal."""

    rule: str
    reason: str
    limit: Any = None


def decide(
    findings: Iterable[Rejection | Unmeasured], facts: Facts, profile: Mapping[str, Any], passed: str
) -> StepResult:
    """The first rejection decides. An unmeasured fact is one, or is noted if the profile accepts unmeasured files.

    ``passed`` is the detail of a file within all limits.
    """
    noted: list[str] = list(facts.get(NOT_MEASURED) or ())
    for finding in findings:
        if isinstance(finding, Rejection):
            return StepResult(verdict=finding)
        if profile.get("unmeasured") != "accept":
            return StepResult(verdict=Rejection(finding.rule, f"{finding.reason} {WAY_OUT}", finding.limit, None))
        noted.append(finding.reason)
    new_facts = {NOT_MEASURED: list(dict.fromkeys(noted))} if noted else {}
    return StepResult(new_facts, detail=f"Not measured: {' '.join(noted)}" if noted else passed)


def find_violations(
    limits: Iterable[Limit], facts: Facts, subject: str, unreadable: str
) -> Iterator[Rejection | Unmeasured]:
    """Yield each broken limit. ``subject`` names the file in messages, ``unreadable`` the rule of unknown facts."""
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
