"""``windlass search``, ``windlass reindex`` and ``windlass reembed``: find files by their texts; index texts again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable
from windlass.cli.server_connection import ServerOption, TokenOption, connected_client

if TYPE_CHECKING:
    from windlass.client import FoundFile, SearchResult, SnippetPart

#: Seconds between two looks at how many files wait.
POLL_SECONDS = 1.0


def search(
    query: Annotated[
        list[str], typer.Argument(metavar="WORD...", help="Words, and phrases in double quotes: '\"a b\"'.")
    ],
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as pdf or document.")] = None,
    mime_type: Annotated[str | None, typer.Option("--type", help="Only this type; text/* works.")] = None,
    reference: Annotated[str | None, typer.Option(help="Only files with this reference.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Only files of this day (UTC) or later.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Only files of this day (UTC) or earlier.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of files.")] = 10,
    mode: Annotated[
        Literal["hybrid", "text", "vector"] | None,
        typer.Option(help="By words, by meaning, or by both; without it what the server can do."),
    ] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """Search files by their texts, names and facts, best first: id and name, then each passage with its page."""
    with connected_client(server, token) as client:
        result = client.search(
            " ".join(query),
            kind=kind,
            mime_type=mime_type,
            reference=reference,
            from_=since,
            to=until,
            limit=limit,
            mode=mode,
        )
        if as_json:
            typer.echo(json_line(result.raw))
            return
        for found in result.results:
            _print_found(found)
        if result.owed:
            typer.echo(f"windlass: {_owed(result)}", err=True)


def _owed(result: SearchResult) -> str:
    files, one = ("1 file", True) if result.owed == 1 else (f"{result.owed} files", False)
    if result.mode == "vector":
        return f"{files} {'has' if one else 'have'} no vectors yet"
    return f"{files} {'is' if one else 'are'} not indexed yet"


def _print_found(found: FoundFile) -> None:
    typer.echo(f"{found.file.id}  {_line(found.name)}")
    for passage in found.passages:
        page = f"page {passage.page}: " if passage.page else ""
        typer.echo(f"  {page}{_line(passage.snippet)}")


def _line(parts: tuple[SnippetPart, ...]) -> str:
    """One line; what was searched for is bold on a terminal."""
    return "".join(
        typer.style(printable(part.text), bold=True) if part.match else printable(part.text) for part in parts
    )


def reindex(
    owner: Annotated[str | None, typer.Option(help="Only the files of this owner, such as user:7.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also files that are indexed already, such as after a change of their text.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", help="Make the index of words anew from the stored passages, such as after it was lost."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the workers have indexed them.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Index the texts of existing files for the search, in the background.

    Workers do it at the rate of BACKFILL_PER_MINUTE, after new files. It can be interrupted and called again.
    """
    with existing_server(home):
        from windlass.knowledge import api as knowledge

        if rebuild:
            done = 0
            for done in knowledge.rebuild_words():
                typer.echo(f"{done} passages", err=True)
            typer.echo(json_line({"passages": done}) if as_json else f"{done} passages are indexed anew")
            return
        done = 0
        for done in knowledge.queue_files(knowledge.files_to_index(owner, every=every)):
            typer.echo(f"{done} files", err=True)
        typer.echo(json_line({"files": done}) if as_json else f"{done} files will be indexed")
        while wait and (waiting := knowledge.waiting_count(owner)):
            typer.echo(f"{waiting} files wait", err=True)
            time.sleep(POLL_SECONDS)


def reembed(
    owner: Annotated[str | None, typer.Option(help="Only the files of this owner, such as user:7.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the workers have made the vectors.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Make vectors of the passages that have none of the current model (EMBEDDINGS_MODEL), in the background.

    Workers do it at the rate of BACKFILL_PER_MINUTE, after new files. A file's vectors of the model before are deleted
    once all of its new ones are there, and are searched until then if EMBEDDINGS_PREVIOUS_MODEL names that model. It
    can be interrupted and called again.
    """
    with existing_server(home):
        from windlass.knowledge import api as knowledge

        if not knowledge.has_embeddings():
            raise typer.BadParameter("EMBEDDINGS is off: this server has no model for vectors.")
        try:
            files = knowledge.files_to_embed(owner)
        except knowledge.BadModel as error:
            raise CommandError(str(error)) from error
        done = 0
        for done in knowledge.queue_embedding(files):
            typer.echo(f"{done} files", err=True)
        typer.echo(json_line({"files": done}) if as_json else f"{done} files will get vectors")
        while wait and (waiting := knowledge.waiting_for_vectors(owner)):
            typer.echo(f"{waiting} files wait", err=True)
            time.sleep(POLL_SECONDS)
