"""How many tokens the language model may still use today (UTC), over all workers: GRAPH_TOKENS_PER_DAY."""

from __future__ import annotations

from django.db.models import F

from windlass import conf
from windlass.kernel.clock import now
from windlass.knowledge.models import GraphModelUse

#: Where there is no limit.
UNLIMITED = 2**62


def tokens_left_today() -> int:
    """Never below 0. Workers that ask at the same time may each use what is left, once."""
    limit = conf.get().graph_tokens_per_day
    if not limit:
        return UNLIMITED
    used = GraphModelUse.objects.filter(day=now().date()).values_list("tokens", flat=True).first() or 0
    return max(0, limit - used)


def use_tokens(count: int) -> None:
    """Count tokens as used today, and forget the days before."""
    today = now().date()
    _, is_new = GraphModelUse.objects.get_or_create(day=today)
    GraphModelUse.objects.filter(day=today).update(tokens=F("tokens") + count)
    if is_new:
        GraphModelUse.objects.filter(day__lt=today).delete()
