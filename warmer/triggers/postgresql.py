"""Triggers of PostgreSQL: one function a table, called once a statement, that sees its rows before and after.

It says up to MOST_IMAGES kinds of rows, and beyond them, or if anything goes wrong (a column is not there any
more), the whole table: no writer's statement fails because of what is told of it. What capture has told by
itself carries a comment, which the function looks for in the client's statement; it is believed only where
the trigger was fired by that very statement, and not from inside a function, a trigger or a cascade.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from warmer.core.changes import MOST_IMAGES
from warmer.core.raws import LONGEST_RAW
from warmer.outbox.schema import outbox
from warmer.triggers.quoting import escaped, quoted
from warmer.triggers.tables import (
    Column,
    Installed,
    Plan,
    Watched,
    about,
    channel_of,
    digest_of,
    mark_of,
    raw_changes,
    read_about,
    stem_of,
    whole_changes,
)

EVENTS: Final = ("INSERT", "UPDATE", "DELETE", "TRUNCATE")
_TABLES: Final = {
    "INSERT": " REFERENCING NEW TABLE AS new_rows",
    "UPDATE": " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": " REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}
_BODY: Final = """\
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp AS {tag}
DECLARE
  stack text;
  kinds bigint := {most} + 1;
  told jsonb;
BEGIN
  IF {marked} THEN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF strpos(stack, chr(10)) = 0 THEN
      RETURN NULL;
    END IF;
  END IF;
  BEGIN
{looks}
  EXCEPTION WHEN OTHERS THEN
    kinds := {most} + 1;
  END;
  IF kinds = 0 THEN
    RETURN NULL;
  END IF;
  INSERT INTO {outbox} (id, namespace, own, changes) VALUES ({id}, {namespace}, false, {changes});
{notify}  RETURN NULL;
END {tag}"""
#: Not from the table's sequence: a writer that asks for lastval() after its INSERT must get its own.
_ID: Final = (
    "-1 - ('x' || left(md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text), 15))"
    "::bit(60)::bigint"
)
_LOOK: Final = """\
    {branch} TG_OP = '{event}' THEN
      SELECT count(*), jsonb_agg({image}) INTO kinds, told FROM ({rows} LIMIT {most} + 1) AS image;"""
_COUNT: Final = """\
    {branch} TG_OP = '{event}' THEN
      SELECT {most} + 1 INTO kinds FROM ({rows}) AS image LIMIT 1;
      kinds := coalesce(kinds, 0);"""


def plan(namespace: str, home: str, watched: Watched, notify: bool) -> Plan:
    """home: the schema of the outbox. notify: whether a row of it wakes the relays."""
    stem = stem_of(namespace, watched.schema, watched.table)
    table = f"{quoted(watched.schema)}.{quoted(watched.table)}"
    function = f"{quoted(home)}.{quoted(stem)}"
    body = _body(namespace, f"{quoted(home)}.{quoted(outbox.name)}", function, stem, watched, notify)
    drops = [f"DROP TRIGGER IF EXISTS {quoted(_name(stem, event))} ON {table}" for event in EVENTS]
    creates = [body, f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC", *drops]
    for event in EVENTS:
        name = quoted(_name(stem, event))
        fires = f"AFTER {event} ON {table}{_TABLES[event]}"
        creates += [
            f"CREATE TRIGGER {name} {fires}\nFOR EACH STATEMENT EXECUTE FUNCTION {function}()",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
        ]
    digest = digest_of(creates)
    creates.append(f"COMMENT ON FUNCTION {function}() IS {escaped(about(namespace, watched, digest))}")
    dropped = (*drops, f"DROP FUNCTION IF EXISTS {function}()")
    return Plan(watched, stem, digest, tuple(creates), dropped)


def read(rows: Iterable[Sequence[Any]]) -> list[Installed]:
    """Every table with triggers of ours, of all namespaces, from what `ASK` gave."""
    return [_installed(row) for row in rows]


def _installed(row: Any) -> Installed:
    home, function, comment, schema, table, names, firing = row
    namespace, tables, digest = read_about(comment) or ("", (), "")
    where = f"{quoted(schema or '')}.{quoted(table or '')}"
    drops = [f"DROP TRIGGER IF EXISTS {quoted(name)} ON {where}" for name in names]
    whole = set(names) == {_name(function, event) for event in EVENTS} and firing
    drops.append(f"DROP FUNCTION IF EXISTS {quoted(home)}.{quoted(function)}()")
    return Installed(schema or "", table or "", namespace, tables, digest, whole, tuple(drops))


def _name(stem: str, event: str) -> str:
    return f"{stem}_{event.lower()}"


def _body(namespace: str, rows: str, function: str, stem: str, watched: Watched, notify: bool) -> str:
    marks = [f"strpos(current_query(), {escaped(mark_of(namespace, name))}) > 0" for name in watched.names]
    changes = escaped(whole_changes(watched.names))
    if watched.columns is not None:
        head, tail = raw_changes(watched.names, watched.columns)
        told = f"{escaped(head)} || told::text || {escaped(tail)}"
        changes = f"CASE WHEN kinds > {MOST_IMAGES} THEN {changes} ELSE {told} END"
    wake = f"  PERFORM pg_notify({escaped(channel_of(namespace))}, '');\n" if notify else ""
    return _BODY.format(
        function=function, tag=f"${stem}$", most=MOST_IMAGES, marked=" AND ".join(marks), id=_ID,
        looks=_looks(watched), outbox=rows, namespace=escaped(namespace), changes=changes, notify=wake,
    )  # fmt: skip


def _looks(watched: Watched) -> str:
    """What reads the rows of the statement, an event each. A statement that hit none says nothing."""
    columns = watched.columns
    names = "1" if columns is None else ", ".join(quoted(column.name) for column in columns)
    parts = list[str]()
    for event, tables in (("INSERT", ("new",)), ("DELETE", ("old",)), ("UPDATE", ("old", "new"))):
        branch = "ELSIF" if parts else "IF"
        if columns is None:
            rows = f"SELECT FROM {tables[0]}_rows"
            parts.append(_COUNT.format(branch=branch, event=event, rows=rows, most=MOST_IMAGES))
            continue
        rows = " UNION ".join(f"SELECT DISTINCT {names} FROM {table}_rows" for table in tables)
        parts.append(
            _LOOK.format(branch=branch, event=event, image=_image(columns), rows=rows, most=MOST_IMAGES)
        )
    return "\n".join([*parts, "    END IF;"])


def _image(columns: Sequence[Column]) -> str:
    return f"jsonb_build_array({', '.join(map(_raw, columns))})"


def _raw(column: Column) -> str:
    """The column's value in the form of core/raws.py; NULL stays NULL, and what is too long is an object."""
    name, kind = f"image.{quoted(column.name)}", column.kind
    if kind == "f":
        return f"'f' || encode(float8send({name}), 'hex')"
    if kind in "dlt":  # ISO 8601, whatever the session's DateStyle is; an instant with its session's offset
        return f"'{kind}' || (to_jsonb({name}) #>> '{{}}')"
    if kind in "bu":
        return f"'{kind}' || {name}::text"
    told = f"encode({name}, 'hex')" if kind == "x" else f"{name}::text"
    size = name if kind == "x" else f"{name}::text"
    told = f"to_jsonb('{kind}' || {told})"
    return f"CASE WHEN octet_length({size}) > {LONGEST_RAW} THEN '{{}}'::jsonb ELSE {told} END"


ASK: Final = """\
SELECT home.nspname, f.proname, obj_description(f.oid, 'pg_proc'), at.nspname, c.relname,
       coalesce(array_agg(t.tgname::text) FILTER (WHERE t.oid IS NOT NULL), '{}'),
       coalesce(bool_and(t.tgenabled = 'A'), false)
FROM pg_proc f
JOIN pg_namespace home ON home.oid = f.pronamespace
LEFT JOIN pg_trigger t ON t.tgfoid = f.oid AND NOT t.tgisinternal
LEFT JOIN pg_class c ON c.oid = t.tgrelid
LEFT JOIN pg_namespace at ON at.oid = c.relnamespace
WHERE f.proname LIKE 'warmer\\_%' AND starts_with(obj_description(f.oid, 'pg_proc'), '{"warmer": 1,')
GROUP BY 1, 2, 3, 4, 5
ORDER BY 4, 5"""

__all__ = ["ASK", "plan", "read"]
