"""``windlass webhook``: the webhooks of this server, and what was sent to them."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable

if TYPE_CHECKING:
    from windlass.events.api import Delivery, WebhookEndpoint

webhook_group = typer.Typer(help="Webhooks: URLs that events are sent to.", no_args_is_help=True)

#: How long ``windlass webhook test`` waits for the scheduler to make the attempt (seconds).
TEST_SECONDS = 30.0
NOT_DELIVERED = 1

WebhookId = Annotated[uuid.UUID, typer.Argument(metavar="ID", help="Id of `windlass webhook list`.")]


@webhook_group.command("list")
def list_webhooks(as_json: JsonOption = False, home: Home = None) -> None:
    """List the webhooks: id, owner, whether it is enabled, URL, event types."""
    with existing_server(home):
        from windlass.events.api import WebhookEndpoint

        for endpoint in WebhookEndpoint.objects.order_by("created_at", "id"):
            typer.echo(json_line(_document(endpoint)) if as_json else _line(endpoint))


@webhook_group.command("add")
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent.")],
    types: Annotated[list[str], typer.Option("--type", metavar="TYPE", help="An event type; may be repeated.")],
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Whose events. Default: those of open mode.")] = None,
    all_owners: Annotated[
        bool, typer.Option("--all-owners", help="The events of every owner whose files NAME may read.")
    ] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Create a webhook, and print its secret. The secret is not shown again."""
    with existing_server(home) as settings:
        from windlass.accounts.api import MayNotFollow, require_may_follow
        from windlass.database.connection import atomic
        from windlass.events import api as events

        owner = _owner(user, is_open=not settings.credentials_required)
        try:
            checked = events.checked_types(types)
            require_may_follow(owner, checked, all_owners=all_owners)
            events.check_target(url, settings.webhook_allowed_networks)
            with atomic():
                endpoint = events.create_endpoint(owner, url, checked, all_owners=all_owners)
        except (MayNotFollow, events.TypesRefused, events.TargetRefused, events.TooManyEndpoints) as refused:
            raise CommandError(str(refused)) from refused
        if as_json:
            typer.echo(json_line(_document(endpoint) | {"secret": endpoint.secret}))
        else:
            typer.echo(f"{endpoint.id}\n{endpoint.secret}")


@webhook_group.command("update")
def update(
    webhook_id: WebhookId,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where events are sent from now on.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="An event type, instead of those before; may be repeated."),
    ] = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether it is sent anything. A disabled one misses the events."),
    ] = None,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Change the URL or the event types of a webhook, disable it, or enable it again; print it."""
    if url is None and not types and enabled is None:
        raise typer.BadParameter("name what to change: --url, --type, --enable or --disable")
    with existing_server(home) as settings:
        from windlass.accounts.api import MayNotFollow, require_may_follow
        from windlass.database.connection import atomic
        from windlass.events import api as events

        endpoint = _find(webhook_id)
        try:
            checked = events.checked_types(types) if types else None
            if checked is not None:
                require_may_follow(endpoint.owner, checked, all_owners=endpoint.all_owners)
            if url is not None:
                events.check_target(url, settings.webhook_allowed_networks)
            with atomic():
                endpoint = events.change_endpoint(endpoint, url=url, types=checked, enabled=enabled)
        except (MayNotFollow, events.TypesRefused, events.TargetRefused) as refused:
            raise CommandError(str(refused)) from refused
        typer.echo(json_line(_document(endpoint)) if as_json else _line(endpoint))


@webhook_group.command("rotate-secret")
def rotate_secret(webhook_id: WebhookId, as_json: JsonOption = False, home: Home = None) -> None:
    """Make a new secret, and print it. It is not shown again; for a while the one before signs as well."""
    with existing_server(home):
        from windlass.database.connection import atomic
        from windlass.events import api as events
        from windlass.kernel.clock import rfc3339

        with atomic():
            endpoint = events.rotate_secret(_find(webhook_id))
        if as_json:
            secrets = {"secret": endpoint.secret, "old_secret_until": rfc3339(endpoint.old_secret_until)}
            typer.echo(json_line(_document(endpoint) | secrets))
        else:
            typer.echo(endpoint.secret)


@webhook_group.command("remove")
def remove(webhook_id: WebhookId, home: Home = None) -> None:
    """Delete a webhook and the record of its deliveries."""
    with existing_server(home):
        from windlass.database.connection import atomic
        from windlass.events import api as events

        with atomic():
            events.delete_endpoint(_find(webhook_id))


@webhook_group.command("deliveries")
def deliveries(
    webhook_id: WebhookId,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only of this state, such as dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most.")] = 50,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """List deliveries, the newest first: id, when, event type, state, attempts, the last status or error."""
    with existing_server(home):
        from windlass.events.api import Delivery, DeliveryState, delivery_document

        if state is not None and state not in DeliveryState.values:
            raise CommandError(f"there is no state {state!r}; there are {', '.join(DeliveryState.values)}")
        selected = Delivery.objects.filter(endpoint=_find(webhook_id), **({"state": state} if state else {}))
        for delivery in selected.order_by("-created_at", "-id")[:limit]:
            typer.echo(json_line(delivery_document(delivery)) if as_json else _delivery_line(delivery))


@webhook_group.command("replay")
def replay(
    webhook_id: WebhookId,
    delivery_ids: Annotated[
        list[uuid.UUID] | None, typer.Argument(metavar="[DELIVERY]...", help="Ids of `windlass webhook deliveries`.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Send all events since this time (UTC) again.", metavar="TIME")
    ] = None,
    home: Home = None,
) -> None:
    """Send deliveries again, with the same ids: those that are named, or all events since a time."""
    if bool(delivery_ids) == bool(since):
        raise typer.BadParameter("give ids of deliveries, or --since")
    with existing_server(home):
        from windlass.database.connection import atomic
        from windlass.events import api as events
        from windlass.events.api import Delivery

        endpoint = _find(webhook_id)
        try:
            with atomic():
                if since:
                    events.replay_since(endpoint, since.replace(tzinfo=UTC))
                for delivery_id in delivery_ids or ():
                    delivery = Delivery.objects.filter(endpoint=endpoint, id=delivery_id).first()
                    if delivery is None:
                        raise CommandError(f"there is no delivery {delivery_id} of this webhook")
                    events.replay_delivery(delivery)
        except events.NotReplayable as refused:
            raise CommandError(str(refused)) from refused


@webhook_group.command("test")
def send_test(webhook_id: WebhookId, as_json: JsonOption = False, home: Home = None) -> None:
    """Send a test event, wait for its first attempt, and print it. Exit code 1 if it was not accepted."""
    with existing_server(home):
        from windlass.events.api import DeliveryState, NotReplayable, add_test_delivery, delivery_document

        try:
            delivery = add_test_delivery(_find(webhook_id))
        except NotReplayable as refused:
            raise CommandError(str(refused)) from refused
        _wait_for_attempt(delivery)
        typer.echo(json_line(delivery_document(delivery)) if as_json else _delivery_line(delivery))
        if delivery.state != DeliveryState.DELIVERED:
            raise typer.Exit(NOT_DELIVERED)


def _wait_for_attempt(delivery: Delivery) -> None:
    deadline = time.monotonic() + TEST_SECONDS
    while not delivery.attempt_log:
        if time.monotonic() > deadline:
            raise CommandError(
                f"no attempt was made within {TEST_SECONDS:.0f} s: does the scheduler run, and is the circuit breaker "
                "of the host closed (`windlass breaker list`)?"
            )
        time.sleep(0.1)
        delivery.refresh_from_db()


def _owner(user: str | None, *, is_open: bool) -> str:
    from windlass.accounts.api import find_user
    from windlass.kernel.principals import ANONYMOUS, owner_of_user

    if user is None:
        if not is_open:
            raise CommandError("name the user whose events are sent with --user")
        return ANONYMOUS.owner
    found = find_user(user)
    if found is None:
        raise CommandError(f"there is no user {user!r}; `windlass user list` lists them")
    return owner_of_user(found.pk)


def _find(webhook_id: uuid.UUID) -> WebhookEndpoint:
    from windlass.events.api import WebhookEndpoint

    found = WebhookEndpoint.objects.filter(id=webhook_id).first()
    if found is None:
        raise CommandError(f"there is no webhook {webhook_id}; `windlass webhook list` lists those that there are")
    return found


def _document(endpoint: WebhookEndpoint) -> dict[str, Any]:
    from windlass.kernel.clock import rfc3339

    return {
        "id": str(endpoint.id),
        "owner": endpoint.owner,
        "url": endpoint.url,
        "types": endpoint.types,
        "all_owners": endpoint.all_owners,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason or None,
        "created_at": rfc3339(endpoint.created_at),
    }


def _line(endpoint: WebhookEndpoint) -> str:
    state = "enabled" if endpoint.enabled else f"disabled ({endpoint.disabled_reason})"
    owner = f"{endpoint.owner}, all owners" if endpoint.all_owners else endpoint.owner
    return printable(f"{endpoint.id}  {owner}  {state}  {endpoint.url}  {','.join(endpoint.types)}")


def _delivery_line(delivery: Delivery) -> str:
    last = delivery.attempt_log[-1] if delivery.attempt_log else None
    outcome = (last["error"] or str(last["status"])) if last else "-"
    when = delivery.created_at.isoformat(" ", "seconds")
    columns = (str(delivery.id), when, delivery.event_type, str(delivery.state), f"{delivery.attempts} attempts")
    return printable("  ".join([*columns, outcome]))
