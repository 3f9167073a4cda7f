"""``windlass graph``: the entities that files name, how they are connected, and which of them are the same."""

from __future__ import annotations

import threading
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from windlass.cli.environment import Home, existing_server
from windlass.cli.errors import CommandError
from windlass.cli.output import JsonOption, json_line, printable
from windlass.cli.server_connection import FileId, ServerOption, TokenOption, connected_client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windlass.client import Relation

graph_group = typer.Typer(no_args_is_help=True, help="The graph of what files name: entities, relations, paths.")

EntityId = Annotated[str, typer.Argument(metavar="ENTITY", help="The entity's id, of `windlass graph entities`.")]
#: Refused files that an export names.
MOST_REFUSED = 100
_Entity = Annotated[uuid.UUID, typer.Argument(metavar="ENTITY", help="The entity's id.")]


@graph_group.command("entities")
def entities(
    query: Annotated[str, typer.Argument(metavar="NAME", help="Part of a name.")] = "",
    kind: Annotated[str | None, typer.Option("--type", help="Only this type, such as person or money.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of entities.")] = 50,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """One entity per line, by name: id, type, number of files, name."""
    with connected_client(server, token) as client:
        for entity in islice(client.entities(query, type=kind, limit=min(limit, 200)), limit):
            if as_json:
                members = ("id", "type", "name", "files", "mentions")
                typer.echo(json_line({name: getattr(entity, name) for name in members}))
            else:
                typer.echo(f"{entity.id}  {entity.type:<12}  {entity.files:>5}  {printable(entity.name)}")


@graph_group.command("entity")
def show(
    entity_id: EntityId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """An entity: its names, its files, and what they say about it."""
    with connected_client(server, token) as client:
        found = client.entity(entity_id)
        if as_json:
            typer.echo(json_line(found.raw))
            return
        typer.echo(f"{found.type}  {printable(', '.join(found.names))}")
        for file in found.files:
            typer.echo(f"  {file.file_id}  {file.mentions:>4}  {printable(file.filename)}")
        _print_relations(found.relations)


@graph_group.command("file")
def of_file(
    file_id: FileId, as_json: JsonOption = False, server: ServerOption = None, token: TokenOption = None
) -> None:
    """The entities that a file names, and what it says about them."""
    with connected_client(server, token) as client:
        graph = client.file_graph(file_id)
        if as_json:
            typer.echo(json_line(graph.raw))
            return
        for entity in graph.entities:
            typer.echo(f"{entity.id}  {entity.type:<12}  {len(entity.mentions):>5}  {printable(entity.name)}")
        _print_relations(graph.relations)


@graph_group.command("paths")
def paths(
    start: EntityId,
    end: Annotated[str, typer.Argument(metavar="ENTITY", help="The id of another entity.")],
    longest: Annotated[int, typer.Option("--max", min=1, max=6, help="Relations of the longest path.")] = 4,
    as_json: JsonOption = False,
    server: ServerOption = None,
    token: TokenOption = None,
) -> None:
    """How two entities are connected: the shortest paths, with the file that says so for each step."""
    with connected_client(server, token) as client:
        found = client.paths(start, end, longest=longest)
        if as_json:
            typer.echo(json_line(found.raw))
            return
        for number, path in enumerate(found.paths, 1):
            typer.echo(f"Path {number}")
            _print_relations(path)
        if not found.paths:
            typer.echo("windlass: no path was found", err=True)
        if not found.complete:
            typer.echo("windlass: the graph is too large to say that there is no shorter one", err=True)


@graph_group.command("merge")
def merge(
    entity_id: _Entity,
    into: Annotated[uuid.UUID, typer.Argument(metavar="ENTITY", help="The entity that it counts as from now on.")],
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Let one entity count as another one of the same type. `windlass graph split` undoes it."""
    with existing_server(home):
        from windlass.kernel.problem_types import Problem
        from windlass.knowledge import api as knowledge

        try:
            knowledge.merge(knowledge.owner_of(entity_id), entity_id, into)
        except Problem as error:
            raise CommandError(str(error)) from error
        document = {"entity": str(entity_id), "counts_as": str(into)}
        typer.echo(json_line(document) if as_json else f"{entity_id} counts as {into}")


@graph_group.command("split")
def split(entity_id: _Entity, as_json: JsonOption = False, home: Home = None) -> None:
    """Undo what was merged with an entity; if nothing was, make each of its names an entity of its own."""
    with existing_server(home):
        from windlass.kernel.problem_types import Problem
        from windlass.knowledge import api as knowledge

        try:
            count = knowledge.split(knowledge.owner_of(entity_id), entity_id)
        except Problem as error:
            raise CommandError(str(error)) from error
        line = f"{count} {'entity is its' if count == 1 else 'entities are their'} own again"
        typer.echo(json_line({"entities": count}) if as_json else line)


@graph_group.command("merge-similar")
def merge_similar(
    owner: Annotated[str | None, typer.Option(help="Only the entities of this owner, such as user:7.")] = None,
    similarity: Annotated[
        float | None,
        typer.Option(min=0.5, max=1.0, help="The cosine of two names from which they may mean the same. Default 0.93."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be merged, and merge nothing.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Merge entities of one owner and type whose names are nearly equal by the model of EMBEDDINGS.

    Every word of the shorter name must also be in the longer one. `windlass graph split` undoes each merge, for good.
    """
    with existing_server(home):
        from windlass.kernel.problem_types import Problem
        from windlass.knowledge import api as knowledge

        if not knowledge.has_embeddings():
            raise CommandError("EMBEDDINGS is off: names are compared by its model")
        count = 0
        try:
            for each in [owner] if owner is not None else knowledge.owners_with_entities():
                for pair in list(knowledge.find_similar(each, similarity or knowledge.SIMILARITY)):
                    if not dry_run:
                        knowledge.merge_similar(pair)
                    count += 1
                    names = f"{printable(pair.name)} counts as {printable(pair.into_name)}"
                    document = {"entity": str(pair.entity), "name": pair.name, "counts_as": str(pair.into)}
                    more = {"counts_as_name": pair.into_name, "similarity": pair.similarity}
                    line = f"{pair.entity}  {pair.into}  {pair.similarity:.3f}  {names}"
                    typer.echo(json_line(document | more) if as_json else line)
        except (knowledge.ModelAway, knowledge.ModelRefused, knowledge.BadModel, Problem) as error:
            raise CommandError(str(error)) from error
        verb = "would be merged" if dry_run else "merged"
        typer.echo(f"windlass: {count} {'entity' if count == 1 else 'entities'} {verb}", err=True)


@graph_group.command("rebuild")
def rebuild(
    owner: Annotated[str | None, typer.Option(help="Only the files of this owner, such as user:7.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also files that have entities of this extractor.")] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Look for entities in stored files, in the background.

    Workers do it at the rate of BACKFILL_PER_MINUTE, after new files. It can be interrupted and called again.
    """
    with existing_server(home):
        from windlass.knowledge import api as knowledge

        done = 0
        for done in knowledge.queue_extraction(owner, every=every):
            typer.echo(f"{done} files", err=True)
        line = f"entities will be looked for in {done} files"
        typer.echo(json_line({"files": done}) if as_json else line)


@graph_group.command("export")
def export(
    from_scratch: Annotated[
        bool,
        typer.Option("--rebuild", help="First delete everything of Windlass there, as after it was restored."),
    ] = False,
    as_json: JsonOption = False,
    home: Home = None,
) -> None:
    """Write what has changed to Neo4j now (NEO4J_URL), as the scheduler does every few seconds.

    Files that Neo4j refused are tried again. Those that it still refuses are named, and the exit code is 1.
    """
    with existing_server(home):
        from windlass.knowledge import api as knowledge

        if not knowledge.is_exported():
            raise CommandError("NEO4J_URL is not set")
        knowledge.retry_refused_files()
        try:
            report = knowledge.export_graph(threading.Event(), rebuild=from_scratch)
        except knowledge.Neo4jAway as error:
            raise CommandError(str(error)) from error
        if report.is_busy:
            raise CommandError("another process exports at this moment")
        refused = [(str(row.file_id), row.reason) for row in knowledge.refused_files()[:MOST_REFUSED]]
        if as_json:
            told = [{"file_id": file_id, "reason": reason} for file_id, reason in refused]
            typer.echo(json_line({"written": report.written, "deleted": report.deleted, "refused": told}))
        else:
            typer.echo(f"{report.written} files written, {report.deleted} files deleted")
            for file_id, reason in refused:
                typer.echo(f"windlass: Neo4j refuses {file_id}: {printable(reason)}", err=True)
        if report.refused:
            raise typer.Exit(1)


def _print_relations(relations: Iterable[Relation]) -> None:
    for each in relations:
        page = f", page {each.page}" if each.page else ""
        ends = f"{printable(each.from_name)} {each.type} {printable(each.to_name)}"
        typer.echo(f"  {ends}  ({each.file_id}{page}; {each.confidence:g})")
