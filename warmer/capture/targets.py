"""What can be tracked: Session classes, sessionmakers and engines, sync and async."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from warmer.capture.tracking import Tracker
from warmer.errors import NotTrackable, show
from warmer.outbox.databases import Database

if TYPE_CHECKING:
    from warmer.namespace import Warmer


def track(namespace: Warmer, tracker: Tracker, target: Any) -> None:
    """Track one target. Connects to nothing. Raises NotTrackable."""
    if isinstance(target, scoped_session) or type(target).__name__ == "async_scoped_session":
        target = target.session_factory
    engine = getattr(target, "sync_engine", target)
    if isinstance(engine, Engine):
        tracker.follow(engine)
    elif isinstance(target, sessionmaker) or (isinstance(target, type) and issubclass(target, Session)):
        _sessions(tracker, target)
        namespace.outbox.add(Database(lambda: _engine_of(target)))
    elif type(target).__name__ == "async_sessionmaker":
        _async_sessions(namespace, tracker, target)
    else:
        raise NotTrackable(
            show(target), "a Session class, a sessionmaker, an async_sessionmaker or an engine of SQLAlchemy"
        )


def _sessions(tracker: Tracker, target: Any) -> None:
    """Sessions that it makes, on whichever engine each of them begins."""

    def begun(session: Session, _: object, connection: Connection) -> None:
        tracker.see(connection, joined=isinstance(session.bind, Connection))

    event.listen(target, "after_begin", begun)


def _async_sessions(namespace: Warmer, tracker: Tracker, maker: Any) -> None:
    inner = maker.kw.get("sync_session_class") or maker.class_.sync_session_class
    if not (isinstance(inner, type) and issubclass(inner, Session)):
        raise NotTrackable(show(inner), "a class derived from Session as the sync_session_class")
    tracked = type(f"Tracked{inner.__name__}", (inner,), {"__module__": inner.__module__})
    maker.configure(sync_session_class=tracked)
    _sessions(tracker, tracked)
    namespace.outbox.add(Database(lambda: _engine_of(lambda: maker().sync_session)))


def _engine_of(make: Callable[[], Session]) -> Engine:
    """The engine of the sessions that this makes. Raises UnboundExecutionError, and what making one does."""
    session = make()
    try:
        bind = session.get_bind()
    finally:
        session.close()
    if isinstance(bind, Connection):
        raise UnboundExecutionError("its sessions are bound to one connection")
    return bind


__all__ = ["track"]
