"""`invalidate`: by entry, by part, by query, by tag."""

from __future__ import annotations

from typing import Annotated

import typer

from warmer.cli.app import App, app, console
from warmer.cli.arguments import one_call
from warmer.cli.reports import Json, print_json


@app.command()
def invalidate(
    query: Annotated[str | None, typer.Argument(help="The query's name, or its last part.")] = None,
    params: Annotated[list[str] | None, typer.Argument(metavar="[PARAM=VALUE]...")] = None,
    where: Annotated[
        bool, typer.Option("--where", help="The params are some of them: every entry that has them.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every entry of the query.")] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Every entry under this tag.")] = None,
    application: App = None,
    as_json: Json = False,
) -> None:
    """Drop entries: when it returns, no read that begins later gets what was loaded before."""
    from warmer.project import find_project

    namespace = find_project(application)
    removed = 0
    if tag:
        if query is not None:
            raise typer.BadParameter("--tag goes without a query: a tag is over all queries")
        removed = namespace.invalidate_tags(*tag)
    elif query is None:
        raise typer.BadParameter("name a query, or a --tag")
    else:
        found = namespace.query(query)
        some = one_call(namespace.readings[found.name], params or [])
        if everything and (where or some):
            raise typer.BadParameter("--all goes without params")
        if everything:
            removed = found.invalidate_all()
        else:
            removed = found.invalidate_where(**some) if where else found.invalidate(**some)
    if as_json:
        print_json({"removed": removed})
    else:
        console.print(f"{removed} {'entry' if removed == 1 else 'entries'} removed")
