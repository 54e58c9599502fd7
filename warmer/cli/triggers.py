"""`db triggers`: triggers that tell of writes by programs that never heard of Warmer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from warmer.cli.app import App
from warmer.cli.database import databases, db
from warmer.cli.finding import project
from warmer.cli.output import console, counted, errors

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.outbox.databases import Database
    from warmer.triggers import State


@db.command()
def triggers(
    application: App = None,
    install: Annotated[bool, typer.Option("--install", help="Make them, or make them anew.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the SQL that makes them; do nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take them away.")] = False,
    table: Annotated[
        list[str] | None,
        typer.Option(help="A further table, that no query declares. May be repeated."),
    ] = None,
) -> None:
    """Triggers on the tables that queries depend on: any SQL, from anywhere, tells of its changes.

    Without an option: say which tables have them; exits with 1 if some should and do not.
    """
    if install + show + remove > 1:
        raise typer.BadParameter("one of --install, --show and --remove at a time", param_hint="triggers")
    namespace = project(application)
    found = databases(namespace)
    if remove:
        _remove(namespace, found)
        return
    wanted = _wanted(namespace)
    wanted |= {name: wanted.get(name, ()) for name in table or ()}
    if show:
        for database in found:
            _show(namespace, database, wanted)
        return
    states = [_look(namespace, database, wanted, install) for database in found]
    nowhere = set(wanted).intersection(*(state.absent for state in states))
    for name in sorted(nowhere):
        errors.print(f"no table is named {name} here: nothing tells of what a query depends on there")
    unmade = not install and any(state.missing or state.outdated for state in states)
    if unmade:
        errors.print("`warmer db triggers --install` makes them")
    if nowhere or unmade:
        raise typer.Exit(1)


def triggers_of(namespace: Warmer, database: Database) -> dict[str, Any]:
    """The tables with triggers, for `db check`: those that are as they should be, and what is not so.

    Where there are none, none are missing: not everybody wants them.
    """
    from warmer.triggers import look, tables_with

    if not database.run(lambda connection: tables_with(connection, namespace.namespace)):
        return {"current": [], "missing": [], "outdated": []}
    wanted = _wanted(namespace)
    state = database.run(lambda connection: look(connection, namespace, wanted))
    return {"current": state.current, "missing": state.missing, "outdated": state.outdated}


def _wanted(namespace: Warmer) -> dict[str, tuple[str, ...]]:
    from warmer.triggers.tables import wanted

    found, away = wanted(namespace)
    if away is not None:
        errors.print(f"only what this project declares is looked at: {away}")
    return found


def _look(
    namespace: Warmer, database: Database, wanted: dict[str, tuple[str, ...]], installing: bool
) -> State:
    from warmer.triggers import install, look

    state = database.run(lambda connection: (install if installing else look)(connection, namespace, wanted))
    for tables, before, after in (
        (state.current, "has its triggers", "had its triggers already"),
        (state.missing, "has no triggers", "triggers made"),
        (state.outdated, "has triggers that are not as they should be", "triggers made anew"),
        (
            state.spare,
            "has triggers, and no query of this project asks for them",
            "triggers left as they are",
        ),
    ):
        for table in tables:
            _say(database, f"{table}: {after if installing else before}")
    return state


def _show(namespace: Warmer, database: Database, wanted: dict[str, tuple[str, ...]]) -> None:
    from warmer.triggers import show

    statements = database.run(lambda connection: show(connection, namespace, wanted))
    console.print(f"-- {_url(database)}", soft_wrap=True)
    for statement in statements:
        console.print(f"{statement};", soft_wrap=True)


def _remove(namespace: Warmer, found: list[Database]) -> None:
    from warmer.triggers import remove

    for database in found:
        gone = database.run(lambda connection: remove(connection, namespace.namespace))
        _say(database, f"triggers of {counted(len(gone), 'table', 'tables')} removed")


def _say(database: Database, what: str) -> None:
    console.print(f"{_url(database)}: {what}")


def _url(database: Database) -> str:
    return database.engine.url.render_as_string()
