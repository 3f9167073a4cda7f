"""Sliding windows, the table that processes share, and the fields that tell clients their limits."""

from __future__ import annotations

import multiprocessing
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond

from windlass.protocols.rate_limit_fields import fields
from windlass.resilience.rate_limits.limiter import Limiter
from windlass.resilience.rate_limits.policies import (
    Fill,
    RateClass,
    Window,
    seconds_until_admitted,
    windows,
    wrong_credential_windows,
)
from windlass.resilience.rate_limits.shared_table import SharedTable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(SharedTable(clock=clock))


def admitted(limiter: Limiter, calls: int, *keys: str, of: tuple[Window, ...]) -> int:
    return sum(limiter.hit(keys or ("a",), of).admitted for _ in range(calls))


CREATE = windows(RateClass.CREATE, 60, 10)


def test_a_minute_has_the_burst_and_ten_minutes_have_no_more_than_the_rate(clock: Clock, limiter: Limiter) -> None:
    assert admitted(limiter, 200, of=CREATE) == 70
    total = 70
    while clock.now < 1000 + 599:
        clock.now += 1
        total += admitted(limiter, 5, of=CREATE)
    assert total == 600


@pytest.mark.parametrize("burst", [0, 10])
def test_a_client_that_keeps_to_the_rate_is_never_refused(clock: Clock, limiter: Limiter, burst: int) -> None:
    for _ in range(3000):
        assert limiter.hit(["a"], windows(RateClass.CREATE, 60, burst)).admitted
        clock.now += 1.02


def test_general_calls_have_ten_times_as_much(limiter: Limiter) -> None:
    assert admitted(limiter, 1000, of=windows(RateClass.GENERAL, 60, 10)) == 700


def test_without_a_burst_the_rate_is_exact(limiter: Limiter) -> None:
    assert admitted(limiter, 100, of=windows(RateClass.CREATE, 5, 0)) == 5


@pytest.mark.parametrize(("kind", "rate"), [(RateClass.UNLIMITED, 60), (RateClass.CREATE, 0), (RateClass.GENERAL, 0)])
def test_what_is_not_limited_has_no_window(kind: RateClass, rate: int) -> None:
    assert windows(kind, rate, 10) == ()


def test_a_call_counts_under_each_key_and_a_refused_one_under_none(limiter: Limiter) -> None:
    five = windows(RateClass.CREATE, 5, 0)
    assert admitted(limiter, 9, "address", "one", of=five) == 5
    assert admitted(limiter, 9, "two", of=five) == 5, "refused calls count nowhere"
    assert admitted(limiter, 1, "address", "three", of=five) == 0
    assert admitted(limiter, 9, "three", of=five) == 5
    assert limiter.look(["address"], five).remaining == 0


def test_classes_are_counted_apart(limiter: Limiter) -> None:
    assert admitted(limiter, 100, of=windows(RateClass.CREATE, 5, 0)) == 5
    assert admitted(limiter, 100, of=windows(RateClass.SIGN_IN, 5, 0)) == 5


def test_wrong_credentials_wait_longer_and_longer_but_never_for_good(clock: Clock, limiter: Limiter) -> None:
    """Somebody who tries again as soon as it is possible: the time between two tries grows, up to a bound."""
    tries: list[float] = []
    while clock.now < 1000 + 6 * 3600:
        verdict = limiter.hit(["a"], wrong_credential_windows(10))
        if verdict.admitted:
            tries.append(clock.now)
        clock.now += max(verdict.reset, 0.001) if not verdict.admitted else 0.001
    waits = [after - before for before, after in pairwise(tries)]
    assert max(waits[:9]) < 1, "ten at once"
    assert 50 < waits[9] < 61, "then a minute"
    assert max(waits) < 3600, "an hour at most, also for the one who never stops"
    assert len([moment for moment in tries if moment >= clock.now - 3600]) <= 41
    clock.now += 7200
    assert limiter.hit(["a"], wrong_credential_windows(10)).remaining == 9, "afterwards all is forgotten"


#: A busy machine takes long for anything.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    limit=st.integers(1, 100),
    seconds=st.integers(1, 3600),
    previous=st.integers(0, 100),
    current=st.integers(0, 100),
    elapsed=st.floats(0, 0.999),
)
def test_after_the_named_time_a_call_is_admitted_and_not_much_before(
    limit: int, seconds: int, previous: int, current: int, elapsed: float
) -> None:
    clock = Clock()
    table, item = SharedTable(clock=clock, buckets=1), RateLimitItemPerSecond(limit, seconds)
    key = item.key_for("a")
    for count in (min(previous, limit), min(current, limit)):
        for _ in range(count):
            table.acquire_sliding_window_entry(key, 10**6, seconds)
        clock.now += seconds if count == min(previous, limit) else 0
    clock.now += elapsed * seconds
    before, before_left, now_count, until = table.get_sliding_window(key, seconds)
    fill = Fill(before, before_left, now_count, max(until - seconds, 0.0))
    wait = seconds_until_admitted(fill, Window("w", limit, seconds))
    assert 0 <= wait <= 2 * seconds
    if wait > 0.01:
        clock.now += wait - 0.005
        assert not table.acquire_sliding_window_entry(key, limit, seconds)
        clock.now += 0.005
    clock.now += wait and 0.005
    assert table.acquire_sliding_window_entry(key, limit, seconds)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(steps=st.lists(st.tuples(st.floats(0, 40), st.integers(0, 30)), max_size=30), limit=st.integers(1, 40))
def test_no_minute_has_more_than_the_limit_and_what_the_estimate_may_miss(
    steps: list[tuple[float, int]], limit: int
) -> None:
    """A sliding window counter takes the calls of the window before as evenly spread: any minute has at most
    twice the limit, and each window of the counter no more than the limit."""
    clock, moments = Clock(), []
    limiter = Limiter(SharedTable(clock=clock, buckets=1))
    for pause, calls in steps:
        clock.now += pause
        moments += [clock.now] * admitted(limiter, calls, of=(Window("w", limit, 60),))
    for moment in moments:
        assert len([one for one in moments if moment - 60 < one <= moment]) <= 2 * limit


def test_two_tables_on_one_file_share_their_counts(tmp_path: Path, clock: Clock) -> None:
    first, second = (Limiter(SharedTable(tmp_path / "t" / "table", clock=clock)) for _ in range(2))
    five = windows(RateClass.CREATE, 5, 0)
    assert admitted(first, 3, of=five) + admitted(second, 9, of=five) == 5
    assert (tmp_path / "t" / "table").stat().st_mode & 0o077 == 0, "it holds who calls: for its user only"


def test_a_full_bucket_gives_up_the_key_whose_window_began_first(clock: Clock) -> None:
    limiter, one = Limiter(SharedTable(clock=clock, buckets=1)), windows(RateClass.CREATE, 1, 0)
    for number in range(16):
        clock.now += 1
        assert limiter.hit([f"key {number}"], one).admitted
    assert limiter.hit(["another"], one).admitted
    assert limiter.hit(["key 0"], one).admitted, "it was given up"
    assert not limiter.hit(["key 15"], one).admitted


def test_counts_of_an_earlier_boot_are_nobodys(clock: Clock, tmp_path: Path) -> None:
    five = windows(RateClass.CREATE, 5, 0)
    assert admitted(Limiter(SharedTable(tmp_path / "table", clock=clock)), 9, of=five) == 5
    clock.now = 3.0
    assert admitted(Limiter(SharedTable(tmp_path / "table", clock=clock)), 9, of=five) == 5


def test_a_table_is_cleared(clock: Clock) -> None:
    table, item = SharedTable(clock=clock), RateLimitItemPerSecond(1, 60)
    for clear in (lambda: table.clear_sliding_window(item.key_for("a"), 60), table.reset):
        assert table.acquire_sliding_window_entry(item.key_for("a"), 1, 60)
        assert not table.acquire_sliding_window_entry(item.key_for("a"), 1, 60)
        clear()
    assert table.check()


def _count(path: Path, barrier: threading.Barrier, results: multiprocessing.SimpleQueue[int]) -> None:
    limiter = Limiter(SharedTable(path))
    barrier.wait()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(admitted(limiter, 20, of=windows(RateClass.CREATE, 60, 10))))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(sum(found))


@pytest.mark.slow
def test_four_processes_with_sixteen_threads_each_admit_exactly_the_limit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.SimpleQueue()
    processes = [context.Process(target=_count, args=(tmp_path / "table", barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert sum(results.get() for _ in processes) == 70


class Broken:
    """A storage whose network fails."""

    base_exceptions: type[Exception] = ConnectionError

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        raise ConnectionError("away")


def test_while_the_redis_is_away_each_machine_counts_on_its_own(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from windlass.resilience import circuit_breaker

    circuit_breaker.reset()
    limiter = Limiter(SharedTable(clock=clock), Broken())
    assert admitted(limiter, 100, of=windows(RateClass.CREATE, 5, 0)) == 5
    assert capsys.readouterr().out.count("rate_limits.redis_away") == 1, "logged once"
    assert circuit_breaker.breaker("rate_limits").retry_after() > 0
    circuit_breaker.reset()


def test_the_fields_of_a_reply() -> None:
    policies = [(each.name, each.limit, each.seconds) for each in CREATE]
    assert fields(policies, "create", 12, 33.2) == [
        (b"ratelimit-policy", b'"create";q=70;w=60, "create-sustained";q=600;w=600'),
        (b"ratelimit", b'"create";r=12;t=34'),
    ]


def test_the_fields_are_structured_fields() -> None:
    import http_sf

    for _, value in fields([("create", 70, 60)], "create", 0, 1.0):
        ((name, parameters),) = http_sf.parse(value, tltype="list")
        assert name == "create"
        assert all(isinstance(each, int) for each in parameters.values())
