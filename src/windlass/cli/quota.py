"""``windlass quota``: the limits of an owner, and how much of them is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.output import JsonOption, json_line, printable, size_text

if TYPE_CHECKING:
    from windlass.files.api import Usage

quota_group = typer.Typer(help="Storage limits of owners.", no_args_is_help=True)
OWNER = "The owner as shown in records, such as user:7 or anonymous."


@quota_group.command("show")
def show(
    owner: Annotated[
        str | None, typer.Argument(metavar="[OWNER]", help=f"{OWNER} Default: every owner with an account.")
    ] = None,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Print the limits, and what is used and reserved."""
    with existing_server(home):
        from windlass.files.api import quota_owners, quota_usage

        for name in [owner] if owner else quota_owners():
            _print(quota_usage(name), as_json=as_json)


@quota_group.command("set")
def set_quota(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help=OWNER)],
    size: Annotated[int | None, typer.Option("--bytes", min=0, help="Bytes; 0 is no limit.")] = None,
    files: Annotated[int | None, typer.Option("--files", min=0, help="Files; 0 is no limit.")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Use the settings for what is not given.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Set the limits of one owner. Stored files stay, even beyond a new limit."""
    if size is None and files is None and not usual:
        raise typer.BadParameter("give --bytes, --files or --usual")
    with existing_server(home):
        from windlass.files.api import set_quota_limits

        given = {"bytes": size, "files": files}
        limits = {kind: limit for kind, limit in given.items() if usual or limit is not None}
        _print(set_quota_limits(owner, **limits), as_json=as_json)


def _print(usage: Usage, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line(usage.document()))
        return
    size, files = usage.bytes, usage.files
    in_trash = f", {size_text(size.trashed)} in the trash" if files.trashed else ""
    most = "no limit" if size.limit is None else f"of {size_text(size.limit)}"
    count = "no limit" if files.limit is None else f"of {files.limit}"
    typer.echo(
        f"{printable(usage.owner)}  {size_text(size.used)} used{in_trash}, "
        f"{size_text(size.reserved)} reserved, {most};  "
        f"{files.used} files, {files.reserved} under way, {count}"
    )
