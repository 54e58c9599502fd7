"""What one load has read: rows of tables, by columns that equal a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

#: Different reads of one load that are told apart: a loop over rows may run any number of statements.
MOST_READS: Final = 200


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of a table. equal: columns with the value that all of them have there; none: any row.

    table: SQLAlchemy's own, or one that only has a name.
    """

    table: Any
    equal: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The table's name, with its schema where it says one."""
        return str(self.table.fullname)


@dataclass(slots=True)
class Reads:
    """Gathers what a load reads. unknown: statements of which nobody can tell what they read, cut."""

    rows: list[Read] = field(default_factory=list)
    whole: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, reads: Iterable[Read]) -> None:
        """More of them. Past a number of them, whole tables are noted."""
        for read in reads:
            if read.name in self.whole or read in self.rows:
                continue
            if read.equal and len(self.rows) < MOST_READS:
                self.rows.append(read)
            else:
                self.whole[read.name] = read.table

    def add_unknown(self, statement: str) -> None:
        """A statement that can't be read."""
        told = " ".join(statement.split())[:120]
        if told not in self.unknown and len(self.unknown) < MOST_READS:
            self.unknown.append(told)

    def all(self) -> list[Read]:
        """Each table: whole, or by rows."""
        rows = [read for read in self.rows if read.name not in self.whole]
        return [*(Read(table) for table in self.whole.values()), *rows]
