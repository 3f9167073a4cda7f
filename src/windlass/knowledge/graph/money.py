"""Sums of money as English, German and Spanish texts write them. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

_SYMBOLS = {"€": "EUR", "£": "GBP", "$": "$", "US$": "USD", "¥": "¥"}
_CODES = "EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|MXN|ARS|BRL|CAD|AUD|INR"
_WORDS = {"euro": "EUR", "euros": "EUR", "dollars": "$", "dólares": "$", "dollar": "$", "pesos": "pesos"}
_SCALES = {
    "thousand": 3, "tausend": 3, "mil": 3,
    "million": 6, "millionen": 6, "millón": 6, "millones": 6, "mio": 6, "m": 6,
    "billion": 9, "milliarde": 9, "milliarden": 9, "mrd": 9, "bn": 9,
}  # fmt: skip
_CURRENCY = rf"US\$|[€£$¥]|\b(?:{_CODES})\b"
_NUMBER = r"\d{1,3}(?:[.,'’ \xa0\u202f]\d{3}){1,5}(?:[.,]\d{1,2})?|\d{1,15}(?:[.,]\d{1,2})?"
_NAMES = r"\b(?:euros?|dollars?|dólares|pesos)\b"
_SCALE = r"(?:thousand|tausend|mil|millionen|million|millón|millones|mio|milliarden?|mrd|billion|bn|m)\b\.?"

#: A sum of money; ``read_money`` says which, if it can be read.
MONEY = re.compile(
    rf"""(?<![\w.,])(?:
      (?P<c1>{_CURRENCY})[ \xa0\u202f]?(?P<n1>{_NUMBER})(?:[ \xa0\u202f]?(?P<s1>{_SCALE}))?
    | (?P<n2>{_NUMBER})(?:[ \xa0\u202f](?P<s2>{_SCALE})(?:[ \xa0\u202f]de)?)?[ \xa0\u202f]?(?P<c2>{_CURRENCY}|{_NAMES})
    )(?![\w])""",
    re.IGNORECASE | re.VERBOSE,
)
_GROUPED = re.compile(r"\d{1,3}(?:[.,'’ \xa0\u202f]\d{3})+$")


def read_money(found: re.Match[str]) -> str | None:
    """Currency and amount, such as ``EUR 1250.00``; None if the number could be either of two, as ``0,500`` could."""
    currency = found["c1"] or found["c2"]
    amount = _amount(found["n1"] or found["n2"], (found["s1"] or found["s2"] or "").rstrip(".").casefold())
    name = _SYMBOLS.get(currency.upper()) or _WORDS.get(currency.casefold()) or currency.upper()
    return f"{name} {amount:.2f}" if amount is not None else None


def _amount(digits: str, scale: str) -> Decimal | None:
    marks = [mark for mark in digits if not mark.isdigit()]
    if not marks:
        number = digits
    elif _GROUPED.match(digits):
        if len(set(marks)) > 1 or digits.startswith("0"):
            return None
        number = re.sub(r"\D", "", digits)
    else:
        whole, decimals = digits.rsplit(marks[-1], 1)
        number = re.sub(r"\D", "", whole) + "." + decimals
    return Decimal(number).scaleb(_SCALES.get(scale, 0))
