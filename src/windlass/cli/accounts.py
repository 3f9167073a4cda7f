"""``windlass user`` and ``windlass token``: users who sign in with a password, and API tokens."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from windlass.cli.durations import duration
from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line
from windlass.kernel.principals import Scope

user_group = typer.Typer(help="Users who sign in with a password.", no_args_is_help=True)
token_group = typer.Typer(help="API tokens.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that the user signs in with.")]
Staff = Annotated[bool, typer.Option("--staff", help="Let this user see and do everything, in the admin too.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="File whose first line is the password; - is standard input. Without it, the command asks for the "
        "password. Other users of this machine can see a command's arguments.",
    ),
]


@user_group.command("add")
def add_user(
    name: Name,
    staff: Staff = False,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Create a user who can sign in at /admin/ and on the page. For an existing user only --staff is applied."""
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.database.connection import atomic

        is_new = accounts.find_user(name) is None
        password = _read_password(password_file) if is_new else ""
        try:
            user = accounts.ensure_user(name, staff=staff)
        except accounts.UserError as error:
            raise CommandError(str(error)) from error
        if is_new:
            user.set_password(password)
        if staff and getattr(user, "is_superuser", True) is False:
            user.is_superuser = True  # without it Django's admin shows staff nothing
        with atomic():
            user.save()
    is_staff = accounts.is_staff(user)
    if as_json:
        typer.echo(json_line({"name": name, "created": is_new, "staff": is_staff}))
    else:
        typer.echo(f"user {name} {'made' if is_new else 'was there already'}{', staff' * is_staff}")


@user_group.command("password")
def change_password(name: Name, password_file: PasswordFile = None, home: Home = None) -> None:
    """Change a user's password. The user's sessions and sign-ins end; API tokens stay."""
    with existing_server(home):
        from windlass.database.connection import atomic

        user = _find_user(name)
        user.set_password(_read_password(password_file))
        with atomic():
            user.save()


@user_group.command("disable")
def disable_user(name: Name, home: Home = None) -> None:
    """Refuse a user: no token, session, sign-in or grant of theirs is accepted any more. Their files stay."""
    _set_active(name, home, active=False)


@user_group.command("enable")
def enable_user(name: Name, home: Home = None) -> None:
    """Accept a disabled user again, with the tokens and the password as before."""
    _set_active(name, home, active=True)


@user_group.command("list")
def list_users(as_json: JsonOption = False, home: Home = None) -> None:
    """List the users: number, name, staff or not, last sign-in."""
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.kernel.clock import rfc3339

        for user in accounts.list_users():
            if as_json:
                typer.echo(json_line(_user_document(user)))
                continue
            rank = "staff" if accounts.is_staff(user) else ""
            seen = rfc3339(getattr(user, "last_login", None)) or "never signed in"
            blocked = "" if getattr(user, "is_active", True) else "  may not sign in"
            typer.echo(f"{user.pk!s:>6}  {user.get_username():20}  {rank:5}  {seen}{blocked}")


@token_group.command("create")
def create_token(
    user: Annotated[str, typer.Option(help="User name; a new user is created if there is none of this name.")],
    staff: Annotated[bool, typer.Option("--staff", help="Let this user see and do everything.")] = False,
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may be used for; may be given several times. Default: all three."),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="DURATION", help="Such as 90d, 12h, 30m. Default: it never expires."),
    ] = None,
    home: Home = None,
) -> None:
    """Create a token and print nothing else. It cannot be shown again."""
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.kernel.clock import now

        expires_at = now() + expires_in if expires_in else None
        scopes = frozenset(scope or Scope)
        try:
            created = accounts.create_token(user, staff=staff, name=name, expires_at=expires_at, scopes=scopes)
        except accounts.UserError as error:
            raise CommandError(str(error)) from error
    typer.echo(created)


@token_group.command("list")
def list_tokens(as_json: JsonOption = False, home: Home = None) -> None:
    """List the tokens: number, user, name, last use, expiry, scopes."""
    with existing_server(home):
        from windlass.accounts import api as accounts
        from windlass.kernel.clock import rfc3339

        for each, user in accounts.list_tokens():
            used, expires = rfc3339(each.last_used_at), rfc3339(each.expires_at)
            if as_json:
                members = {"number": each.pk, "user": user, "name": each.name, "scopes": each.scopes}
                typer.echo(json_line(members | {"last_used_at": used, "expires_at": expires}))
                continue
            used, expires = used or "never used", expires or "no expiry"
            typer.echo(f"{each.pk:>6}  {user:20}  {each.name:20}  {used}  {expires}  {each.scopes}")


@token_group.command("revoke")
def revoke_token(
    number: Annotated[int, typer.Argument(help="The number that `windlass token list` shows.")], home: Home = None
) -> None:
    """Revoke a token. It is refused from now on."""
    with existing_server(home):
        from windlass.accounts import api as accounts

        if not accounts.revoke_token(number):
            raise CommandError(f"there is no token {number}")


def _set_active(name: str, home: Path | None, *, active: bool) -> None:
    with existing_server(home):
        from windlass.accounts import api as accounts

        try:
            accounts.set_active(_find_user(name), active=active)
        except accounts.UserError as error:
            raise CommandError(str(error)) from error


def _user_document(user: Any) -> dict[str, Any]:
    from windlass.accounts import api as accounts
    from windlass.kernel.clock import rfc3339

    return {
        "number": str(user.pk),
        "name": user.get_username(),
        "staff": accounts.is_staff(user),
        "active": getattr(user, "is_active", True),
        "last_login": rfc3339(getattr(user, "last_login", None)),
    }


def _find_user(name: str) -> Any:
    """Raises CommandError."""
    from windlass.accounts import api as accounts

    user = accounts.find_user(name)
    if user is None:
        raise CommandError(f"there is no user {name!r}; `windlass user add` makes one")
    return user


def _read_password(file: Path | None) -> str:
    """Raises CommandError, also if Django's validators refuse the password."""
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    password = _ask_for_password() if file is None else _first_line(file)
    if not password:
        raise CommandError("the password is empty")
    try:
        validate_password(password)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    return password


def _ask_for_password() -> str:
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask for a password: name a file by --password-file, or - for stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _first_line(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the password cannot be read from {file}: {error}") from error
    return text.partition("\n")[0].rstrip("\r")
