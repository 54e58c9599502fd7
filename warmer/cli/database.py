"""`db`: the outbox table in the database of the project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmer.cli.app import ACT, App, Json, app
from warmer.cli.finding import project
from warmer.cli.output import console, counted, print_json
from warmer.errors import NoDatabase, OutboxMissing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from warmer.namespace import Warmer
    from warmer.outbox.databases import Database

db = typer.Typer(
    help="The outbox: the table in which transactions say what they changed.", no_args_is_help=True
)
app.add_typer(db, name="db", rich_help_panel=ACT)


@db.command()
def create(application: App = None) -> None:
    """Create the table in every database that is tracked, else in WARMER_DATABASE_URL."""
    from warmer.outbox import schema

    for database in databases(project(application)):
        made = database.run(schema.create)
        _say(database, "created" if made else "was there already")


@db.command()
def check(application: App = None, as_json: Json = False) -> None:
    """Say whether the table (and triggers, if any) is there and whole, and how much waits in it.

    Exits with 1 if it is not.
    """
    from warmer.cli.triggers import triggers_of
    from warmer.outbox import rows, schema

    namespace = project(application)
    found: list[dict[str, Any]] = []
    for database in databases(namespace):
        url = database.engine.url.render_as_string()
        if not database.run(schema.exists):
            raise OutboxMissing(url, f"no table {schema.outbox.name}")
        lacks = database.run(schema.lacks)
        waiting, kept = database.run(lambda connection: rows.count(connection, namespace.namespace))
        triggers = triggers_of(namespace, database)
        found.append({"url": url, "lacks": lacks, "pending": waiting, "applied": kept, "triggers": triggers})
    if as_json:
        print_json(found)
    else:
        for one in found:
            lacks = one["lacks"]
            state = f"lacks {', '.join(map(str, lacks))}: `warmer db create` adds it" if lacks else "whole"
            console.print(
                f"{one['url']}: {state}, {one['pending']} pending, {one['applied']} applied and kept"
            )
            for what, tables in one["triggers"].items():
                if tables:
                    console.print(f"{one['url']}: triggers {what}: {', '.join(tables)}")
    if any(one["lacks"] or one["triggers"]["missing"] or one["triggers"]["outdated"] for one in found):
        raise typer.Exit(1)


@db.command()
def drop(
    application: App = None,
    yes: Annotated[bool, typer.Option("--yes", help="Also if changes in it are not applied.")] = False,
) -> None:
    """Drop the table with all that is in it. Tracked transactions can't commit until it is there again."""
    from warmer.outbox import rows, schema

    namespace = project(application)
    for database in databases(namespace):
        if database.run(schema.exists):
            waiting, _ = database.run(lambda connection: rows.count(connection, namespace.namespace))
            if waiting and not yes:
                lost = f"{counted(waiting, 'change is', 'changes are')} not applied yet: lost with --yes"
                raise typer.BadParameter(lost, param_hint="drop")
        _say(database, "dropped" if database.run(_drop) else "was not there")


@db.command()
def direct(application: App = None) -> None:
    """End what invalidate_through="outbox" has begun: anybody may invalidate directly again.

    Until it is begun anew, nothing that Redis has stored is served after its restart or failover.
    """
    from warmer.outbox import through

    namespace = project(application)
    for database in databases(namespace):
        ended = database.run(partial(through.end, namespace=namespace.namespace))
        through.untell(namespace.runtime().store)
        url = database.engine.url.render_as_string()
        console.print(f"{url}: invalidations {'may be' if ended else 'were'} made directly")


def _drop(connection: Connection) -> bool:
    """With every trigger that writes to it, whose namespace it may be: their tables could not be written."""
    from warmer import triggers
    from warmer.outbox import schema

    if triggers.supported(connection):
        triggers.remove(connection, None)
    return schema.drop(connection)


def databases(namespace: Warmer) -> list[Database]:
    """Those of the project. Raises NoDatabase."""
    found = namespace.outbox.databases()
    if not found:
        raise NoDatabase(namespace.namespace)
    return found


def _say(database: Database, what: str) -> None:
    from warmer.outbox.schema import outbox

    console.print(f"{database.engine.url.render_as_string()}: {outbox.name} {what}")
