"""Commands for whoever runs the server: the database, the settings, credentials."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Annotated

import typer

from windlass.cli.environment import open_home, set_up_django, use_home
from windlass.cli.processes import Home
from windlass.cli.refusal import Refusal

token = typer.Typer(help="API tokens.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.command()(check)
    app.command("encryption-key")(encryption_key)
    app.add_typer(token, name="token")


def migrate(
    home: Home = None, quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False
) -> None:
    """Bring the database to this version. Safe to run from several places at once, and again after a crash."""
    use_home(home)
    set_up_django()
    from windlass.cli.database import bring_up_to_date
    from windlass.cli.waiting import wait_for_database

    wait_for_database()

    bring_up_to_date(verbosity=0 if quiet else 1)


def check(home: Home = None) -> None:
    """Validate the settings, then try everything they name. Exit code 1 if a part failed."""
    use_home(home)
    set_up_django()
    from windlass.cli.probes import probe_all
    from windlass.cli.waiting import to_stderr, wait_for_broker, wait_for_database

    with suppress(Refusal):  # the probes say it in their lines
        wait_for_database()
    wait_for_broker(to_stderr)
    failed = False
    for result in probe_all():
        failed = failed or not result.ok
        typer.echo(f"{'ok' if result.ok else 'failed':7} {result.name:12} {result.detail}")
    raise typer.Exit(1 if failed else 0)


def encryption_key() -> None:
    """Make a key for ENCRYPTION_KEY and print it, alone. Whoever loses it loses the files."""
    from windlass.kernel import secret_keys

    typer.echo(secret_keys.new())


@token.command("create")
def create_token(
    user: Annotated[str, typer.Option(help="User name; made if there is no such user.")],
    staff: Annotated[bool, typer.Option("--staff", help="Let this user see and do everything.")] = False,
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
    days: Annotated[float, typer.Option(min=0, help="Days until it expires. 0: never.")] = 0,
    home: Home = None,
) -> None:
    """Make a token and print it, alone. It cannot be shown again."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors
    from windlass.kernel.clock import now

    expires_at = now() + timedelta(days=days) if days else None
    with database_errors():
        try:
            made = accounts.create_token(user, staff=staff, name=name, expires_at=expires_at)
        except accounts.UserError as error:
            raise Refusal(str(error)) from error
    typer.echo(made)


@token.command("list")
def list_tokens(home: Home = None) -> None:
    """List the tokens: number, user, name, last use, end."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors
    from windlass.kernel.clock import rfc3339

    with database_errors():
        for found, user in accounts.list_tokens():
            used, end = rfc3339(found.last_used_at) or "never used", rfc3339(found.expires_at) or "no end"
            typer.echo(f"{found.pk:>6}  {user:20}  {found.name:20}  {used}  {end}")


@token.command("revoke")
def revoke_token(
    number: Annotated[int, typer.Argument(help="As `windlass token list` shows it.")], home: Home = None
) -> None:
    """Make a token worthless at once."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors

    with database_errors():
        if not accounts.revoke_token(number):
            raise Refusal(f"there is no token {number}")
