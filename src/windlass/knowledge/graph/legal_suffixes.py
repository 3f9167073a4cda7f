"""Legal forms at the end of companies' names, in English, German, Spanish and their neighbours. Pure."""

from __future__ import annotations

import re

#: As they are written; the longest first, so that ``GmbH & Co. KG`` is not taken for ``KG``.
_SUFFIXES = (
    r"GmbH\s?&\s?Co\.?\s?KGaA",
    r"GmbH\s?&\s?Co\.?\s?KG",
    r"AG\s?&\s?Co\.?\s?KG",
    r"Public\ Limited\ Company",
    r"Pty\.?\ Ltd\.?",
    r"gGmbH",
    r"GmbH",
    r"mbH",
    r"KGaA",
    r"OHG",
    r"GbR",
    r"e\.\s?V\.?",
    r"e\.?\s?G\.?",
    r"UG\ \(haftungsbeschränkt\)",
    r"AG",
    r"KG",
    r"SE",
    r"Incorporated",
    r"Inc\.?",
    r"Corporation",
    r"Corp\.?",
    r"Limited",
    r"Ltd\.?",
    r"L\.L\.C\.?",
    r"LLC",
    r"LLP",
    r"PLC",
    r"plc",
    r"S\.\s?L\.\s?U\.?",
    r"S\.\s?A\.\s?U\.?",
    r"S\.\s?A\.\s?de\ C\.\s?V\.?",
    r"S\.\s?L\.?",
    r"S\.\s?A\.?",
    r"S\.\s?Coop\.?",
    r"S\.\s?p\.\s?A\.?",
    r"SpA",
    r"S\.\s?r\.\s?l\.?",
    r"SARL",
    r"SAS",
    r"B\.\s?V\.?",
    r"BV",
    r"N\.\s?V\.?",
    r"NV",
    r"A/S",
    r"ApS",
    r"Oy",
    r"AB",
)
#: The source of a pattern that matches one legal suffix.
SUFFIX = "(?:" + "|".join(_SUFFIXES) + ")"

_AT_END = re.compile(rf",?\s+{SUFFIX}\.?$", re.IGNORECASE)


def without_legal_suffix(name: str) -> str:
    """``name``, an exact form (``normal_forms.exact_form``), without its legal suffix."""
    return _AT_END.sub("", name)
