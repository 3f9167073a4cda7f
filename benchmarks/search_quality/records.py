"""Documents that differ in numbers and names only, as those of an office do, with questions for one of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST = "Amara Bruno Chiara Dimitri Elif Farid Greta Hiroshi Ingrid Jamal Katya Liam Mireia Nadia Oskar Priya"
LAST = "Okonjo Lindqvist Baranek Moreau Takeda Villar Hoffner Castellan Drummond Petrov Sandoval Achterberg Nyberg Ruiz"
#: Language -> the document, and two questions, of which each names what one document has.
FORMS = {
    "english": (
        "Invoice {code} for {name}. Delivered were {count} metres of rope and {other} shackles. The total of {sum} "
        "euros is due within thirty days. Please quote the number of the invoice when you pay.",
        ("invoice {code}", "How much rope did {name} buy?"),
    ),
    "german": (
        "Auftragsbestätigung {code} für {name}. Wir liefern {count} Meter Seil und {other} Schäkel zum Preis von {sum} "
        "Euro. Die Ware verlässt unser Lager in der kommenden Woche.",
        ("Auftrag {code}", "Was hat {name} bei uns bestellt?"),
    ),
    "spanish": (
        "Parte de reparación {code} de {name}. Se cambiaron {count} metros de cabo y {other} grilletes. El trabajo "
        "cuesta {sum} euros y tiene una garantía de seis meses.",
        ("reparación {code}", "¿Qué se arregló para {name}?"),
    ),
}
EACH = 20


def records() -> Iterator[tuple[str, str, list[str]]]:
    """Language, text and questions of each document; the same in each run."""
    chance = random.Random(7)
    names = [f"{first} {last}" for first in FIRST.split() for last in LAST.split()]
    chance.shuffle(names)
    for language, (text, questions) in FORMS.items():
        for _ in range(EACH):
            values = {
                "code": f"{chance.choice('ABKRT')}{chance.randrange(10)}-{chance.randrange(1000, 9999)}",
                "name": names.pop(),
                "count": chance.randrange(10, 90),
                "other": chance.randrange(2, 40),
                "sum": chance.randrange(100, 2000),
            }
            yield language, text.format(**values), [each.format(**values) for each in questions]
