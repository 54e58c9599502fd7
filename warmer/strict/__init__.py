"""Strict queries: what a transaction changes for them is barred before COMMIT, until its outcome is known."""
