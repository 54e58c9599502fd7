"""Processes over one server and one database, and what happens to that server."""
