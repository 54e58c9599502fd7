"""Connections that are lost in mid-transaction: the transaction is over, and the next one is tracked."""

from __future__ import annotations

from sqlalchemy import update

from tests.tracked import Flight, Tracked

JANUARY, FEBRUARY = ("UA", 1), ("UA", 2)


def test_a_lost_connection_can_be_rolled_back_and_used_again(made: Tracked) -> None:
    """A rollback after the connection was lost works as without tracking; what follows is tracked."""
    made.fill()
    with made.sessions() as session:
        session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        session.connection().invalidate()
        session.rollback()
        assert made.gone() == set()

        session.execute(update(Flight).where(Flight.id == 2).values(delay=1))
        session.commit()

    assert made.gone() == {FEBRUARY}


def test_a_lost_transaction_puts_off_no_invalidation(made: Tracked) -> None:
    """What will never be committed is waited for by nobody, even before it is rolled back."""
    made.fill()
    session = made.sessions()
    session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
    assert made.delays.invalidate(*JANUARY) == 0
    session.connection().invalidate()

    assert made.delays.invalidate(*JANUARY) == 1
    session.close()
    assert made.gone() == {JANUARY}
