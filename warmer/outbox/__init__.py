"""The outbox: changes are written in the transaction that makes them, applied after it, and never lost."""
