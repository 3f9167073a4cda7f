"""The circuit breakers of the services that steps name in ``About.services``: ``service.NAME``, one for all steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from windlass.processing.contract import About, Unavailable
from windlass.processing.registry import installed
from windlass.resilience.circuit_breaker import Breaker, BreakerOpen, breaker

KIND = "service"


def service_breaker_names() -> list[str]:
    """Return the names of the breakers of all services that installed steps name."""
    services = {service for step in installed().values() for service in step.about.services}
    return [_name(service) for service in sorted(services)]


def services_admit_calls(about: About) -> bool:
    """Whether the breakers of the step's services would admit a call now."""
    return all(_breaker(service).admits_calls() for service in about.services)


@contextmanager
def guarded_services(about: About) -> Iterator[None]:
    """Enter around one run of the step. Raises Unavailable, until the next trial, while a service's breaker is open.

    ``Unavailable`` is a failure of the service that it names, or of all of them; another error is one of none.
    """
    with ExitStack() as stack:
        for service in about.services:
            stack.enter_context(_guarded(service))
        yield


@contextmanager
def _guarded(service: str) -> Iterator[None]:
    guard = _breaker(service)
    try:
        with guard.call(Unavailable, counts=lambda error: getattr(error, "service", "") in ("", service)):
            yield
    except BreakerOpen as error:
        message = f"The service {service} is away; the file waits for it."
        raise Unavailable(message, error.retry_after, service=service) from error
    except Unavailable as error:
        error.retry_after = guard.retry_after() or error.retry_after
        raise


def _breaker(service: str) -> Breaker:
    return breaker(_name(service))


def _name(service: str) -> str:
    return f"{KIND}.{service}"
