"""``windlass user``: people who sign in with a password."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from windlass.cli.environment import open_home
from windlass.cli.processes import Home
from windlass.cli.refusal import Refusal

group = typer.Typer(help="People who sign in with a password.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name that the user signs in by.")]
Staff = Annotated[bool, typer.Option("--staff", help="Let this user see and do everything, in the admin too.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="File whose first line is the password; - is standard input. Without it the password is asked for: others "
        "on this machine can see a command's arguments.",
    ),
]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="user")


@group.command("add")
def add(name: Name, staff: Staff = False, password_file: PasswordFile = None, home: Home = None) -> None:
    """Make a user who can sign in at /admin/ and on the page. Of one who is there already, only --staff is changed."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors

    with database_errors():
        is_new = accounts.find_user(name) is None
        password = _read_password(password_file) if is_new else ""
        try:
            user = accounts.ensure_user(name, staff=staff)
        except accounts.UserError as error:
            raise Refusal(str(error)) from error
        if is_new:
            user.set_password(password)
        if staff and getattr(user, "is_superuser", True) is False:
            user.is_superuser = True  # else Django's admin shows a member of staff nothing
        user.save()
    typer.echo(f"user {name} {'made' if is_new else 'was there already'}{', staff' * accounts.is_staff(user)}")


@group.command("password")
def change_password(name: Name, password_file: PasswordFile = None, home: Home = None) -> None:
    """Give a user another password. The user's open sessions end."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors

    with database_errors():
        user: Any = accounts.find_user(name)
        if user is None:
            raise Refusal(f"there is no user {name!r}; `windlass user add` makes one")
        user.set_password(_read_password(password_file))
        user.save()


@group.command("list")
def list_all(home: Home = None) -> None:
    """List the users: number, name, staff or not, last sign-in."""
    open_home(home)
    from windlass.accounts import api as accounts
    from windlass.cli.database import database_errors
    from windlass.kernel.clock import rfc3339

    with database_errors():
        for user in accounts.list_users():
            rank = "staff" if accounts.is_staff(user) else ""
            seen = rfc3339(getattr(user, "last_login", None)) or "never signed in"
            barred = "" if getattr(user, "is_active", True) else "  may not sign in"
            typer.echo(f"{user.pk!s:>6}  {user.get_username():20}  {rank:5}  {seen}{barred}")


def _read_password(file: Path | None) -> str:
    """Raises Refusal, also for a password that Django's validators refuse."""
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    password = _ask_for_password() if file is None else _first_line(file)
    if not password:
        raise Refusal("the password is empty")
    try:
        validate_password(password)
    except ValidationError as error:
        raise Refusal(" ".join(error.messages)) from error
    return password


def _ask_for_password() -> str:
    if not sys.stdin.isatty():
        raise Refusal("there is no terminal to ask for a password: name a file by --password-file, or - for stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _first_line(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"the password cannot be read from {file}: {error}") from error
    return text.partition("\n")[0].rstrip("\r")
