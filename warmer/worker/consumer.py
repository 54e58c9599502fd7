"""Celery's consumer, which outlives the loss of its broker with messages at hand."""

from __future__ import annotations

from celery.worker import state
from celery.worker.consumer import Consumer


class SteadyConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Lets go of the messages at hand when the connection to the broker is lost; their loads go on.

    With Celery and kombu 5.7.0 on Redis, either of two things ends the worker and every load of its pool. A
    lost connection is closed twice, and the second time nothing is left with which to put back what is not
    acknowledged; and a load that ends later is acknowledged on the channel that was closed. Both raise
    AttributeError where only connection errors are expected. Neither is of use to us: a message that comes
    again finds its entry committed, and one that does not is due again by itself.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what is left of the connection, so that another can be made."""
        channel = getattr(self.task_consumer, "channel", None)
        if channel is not None:
            channel.do_restore = False
        for request in {*state.reserved_requests, *state.active_requests}:
            request.acknowledged = True
        super().on_connection_error_after_connected(exc)
