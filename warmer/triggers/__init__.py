"""Triggers that write the outbox for writers that never heard of Warmer. Needs SQLAlchemy to install them."""

from warmer.triggers.installing import State, install, installed, look, remove, show, supported, tables_with

__all__ = ["State", "install", "installed", "look", "remove", "show", "supported", "tables_with"]
