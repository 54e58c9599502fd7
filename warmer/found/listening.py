"""Hears what loads execute through SQLAlchemy, in any engine of the process, sync or async.

Outside of a load that asked for it, hearing costs a statement one look at a context variable. What a loader
runs on threads of its own is not heard: it is outside of the load's context.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import ExecutionContext
from sqlalchemy.sql.compiler import SQLCompiler

from warmer.found.reads import Read, Reads
from warmer.found.statements import StatementReads, read_statement, text_reads
from warmer.runtime.modes import past

log = logging.getLogger("warmer")

# A statement is read once, as often as it is executed: an engine keeps what it has compiled.
_known: weakref.WeakKeyDictionary[SQLCompiler, StatementReads] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_listening = False


def listen() -> None:
    """Begin to hear, once a process."""
    global _listening
    with _lock:
        if not _listening:
            event.listen(Engine, "before_cursor_execute", _heard)
            _listening = True


def _heard(
    _connection: Any,
    _cursor: Any,
    statement: str,
    _parameters: Any,
    context: ExecutionContext | None,
    _many: bool,
) -> None:
    mode = past.get()
    if mode is None or mode.reads is None:
        return
    compiled = getattr(context, "compiled", None)
    if isinstance(compiled, SQLCompiler):
        _note(mode.reads, compiled, getattr(context, "compiled_parameters", None) or [{}], statement)
    elif compiled is None and text_reads(statement):
        mode.reads.add_unknown(statement)


def _note(reads: Reads, compiled: SQLCompiler, parameters: list[dict[str, Any]], statement: str) -> None:
    with _lock:
        found = _known.get(compiled)
    if found is None:
        try:
            found = read_statement(compiled.statement)
        except Exception:  # what can't be read must be told, and must not fail a load
            log.warning("what a statement reads could not be told: %s", statement, exc_info=True)
            found = StatementReads((), unknown=True)
        with _lock:
            _known[compiled] = found
    if found.unknown:
        reads.add_unknown(statement)
    names = {str(bind.key): name for bind, name in compiled.bind_names.items()}
    for given in parameters:
        for read in found.reads:
            equal = tuple(
                (column, given[names[key]])
                for column, key in read.equal
                if names.get(key) in given and given[names[key]] is not None
            )
            reads.add((Read(read.table, equal),))
