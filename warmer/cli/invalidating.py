"""`invalidate`: by entry, by part, by query, by tag."""

from __future__ import annotations

from typing import Annotated

import typer

from warmer.cli.app import ACT, App, Json, Params, app
from warmer.cli.arguments import one_call
from warmer.cli.finding import connected, project
from warmer.cli.output import console, counted, print_json
from warmer.errors import WrongArguments
from warmer.namespace import Warmer


@app.command(rich_help_panel=ACT)
def invalidate(
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="The query's name, or its last part.")
    ] = None,
    params: Params = None,
    where: Annotated[
        bool, typer.Option("--where", help="The params are some of them: every entry that has these values.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every entry of the query.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Every entry under this tag, of any query; repeatable.")
    ] = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Drop entries: when it returns, no read that begins later gets what was loaded before."""
    _check(query, params or [], where=where, everything=everything, tags=tag or [])
    namespace = project(application)
    if query is None:
        connected(namespace)
        removed = namespace.invalidate_tags(*(tag or []))
    else:
        removed = _of_query(namespace, query, params or [], where=where, everything=everything)
    if as_json:
        print_json({"removed": removed})
    else:
        console.print(f"{counted(removed, 'entry', 'entries')} removed")


def _check(query: str | None, params: list[str], *, where: bool, everything: bool, tags: list[str]) -> None:
    """Refuse what names two things, or nothing, before anything is looked for."""
    if tags and (query is not None or where or everything):
        raise typer.BadParameter("a tag is over all queries: it goes alone", param_hint="--tag")
    if not tags and query is None:
        raise typer.BadParameter("name a query, or a tag with --tag", param_hint="QUERY")
    if everything and (where or params):
        raise typer.BadParameter("it goes without params and --where", param_hint="--all")
    if where and not params:
        raise typer.BadParameter("name the params that the entries have", param_hint="--where")


def _of_query(namespace: Warmer, name: str, params: list[str], *, where: bool, everything: bool) -> int:
    query = namespace.query(name)
    some = one_call(namespace.readings[query.name], params)
    if everything:
        connected(namespace)
        return query.invalidate_all()
    if where:
        connected(namespace)
        return query.invalidate_where(**some)
    try:
        one = query.bind(**some)
    except WrongArguments as exc:
        if some:
            exc.add_note("With --where, all entries with these values go.")
        elif not params:
            exc.add_note("With --all, every entry of the query goes.")
        raise
    connected(namespace)
    return one.invalidate()
