"""Params that are made of others: tuples and frozen dataclasses."""

from __future__ import annotations

from typing import Any

from warmer.core.params.contract import Misfit, ParamType
from warmer.core.tokens import escape, join_items, split_items


class TupleParam(ParamType):
    """`tuple[int, str]` (a type for each item) or, with one type and `variadic`, `tuple[int, ...]`."""

    __slots__ = ("_items", "_variadic")
    tag = "tuple"

    def __init__(self, annotation: object, items: tuple[ParamType, ...], *, variadic: bool) -> None:
        super().__init__(annotation)
        self._items, self._variadic = items, variadic

    @property
    def name(self) -> str:
        """The tuple in words."""
        inner = ", ".join(item.name for item in self._items)
        return f"a tuple of any number of: {inner}" if self._variadic else f"a tuple of ({inner})"

    def check(self, value: object) -> tuple[object, ...]:
        """A plain tuple of canonical items; a NamedTuple counts as the tuple that it equals."""
        if not isinstance(value, tuple):
            raise Misfit(value, self.name)
        types = self._types(len(value))
        if types is None:
            raise Misfit(value, self.name)
        items = []
        for at, (kind, item) in enumerate(zip(types, tuple.__iter__(value), strict=True)):
            try:
                items.append(kind.check(item))
            except Misfit as misfit:
                raise misfit.under(f"[{at}]") from None
        return tuple(items)

    def encode(self, canonical: Any) -> str:
        """`(a;b;)`."""
        types = self._types(len(canonical)) or ()
        return join_items([kind.encode(item) for kind, item in zip(types, canonical, strict=True)])

    def read(self, token: str) -> tuple[object, ...]:
        """The tuple."""
        items = split_items(token)
        types = self._types(len(items))
        if types is None:
            raise ValueError("not as many items as the tuple has")
        return tuple(kind.read(item) for kind, item in zip(types, items, strict=True))

    def from_text(self, text: str) -> object:
        """The items with `;` between them."""
        items = text.split(";") if text else []
        types = self._types(len(items))
        if types is None:
            raise Misfit(text, self.name)
        return tuple(kind.from_text(item) for kind, item in zip(types, items, strict=True))

    def _types(self, length: int) -> tuple[ParamType, ...] | None:
        if self._variadic:
            return self._items * length
        return self._items if len(self._items) == length else None


class RecordParam(ParamType):
    """A frozen dataclass: exactly this class (Python's equality excludes subclasses), field by field."""

    __slots__ = ("_cls", "_fields", "_processed")

    def __init__(self, annotation: object, cls: type[Any], fields: dict[str, ParamType]) -> None:
        super().__init__(annotation)
        self._cls, self._fields = cls, fields
        self._processed = hasattr(cls, "__post_init__")

    @property
    def name(self) -> str:
        """The class."""
        return str(self._cls.__name__)

    @property
    def tag(self) -> str:
        """The class's name."""
        return escape(self._cls.__qualname__)

    @property
    def family(self) -> object:
        """The class itself: instances of two classes are never equal."""
        return self._cls

    def check(self, value: object) -> object:
        """The same instance, or one with canonical fields."""
        if type(value) is not self._cls:
            raise Misfit(value, self.name)
        canonical = self._checked(value)
        changed = any(getattr(value, name) is not item for name, item in canonical.items())
        if not changed and not self._processed:
            return value
        # What __post_init__ makes of the fields must be what the key says: a worker starts from the key.
        made = self._made(canonical)
        if self._tokens(self._checked(made)) != self._tokens(canonical):
            raise Misfit(value, f"a {self.name} that its __post_init__ leaves as it is")
        return made

    def encode(self, canonical: Any) -> str:
        """The fields in their order: `(a;b;)`."""
        return self._tokens(self._checked(canonical))

    def read(self, token: str) -> object:
        """An instance of the class."""
        items = split_items(token)
        if len(items) != len(self._fields):
            raise ValueError("not as many items as the class has fields")
        fields = zip(self._fields.items(), items, strict=True)
        return self._made({name: kind.read(item) for (name, kind), item in fields})

    def from_text(self, text: str) -> object:
        """The fields in their order, with `;` between them."""
        items = text.split(";") if text else []
        if len(items) != len(self._fields):
            raise Misfit(text, f"{'; '.join(self._fields)} of {self.name}")
        fields = zip(self._fields.items(), items, strict=True)
        return self.check(self._made({name: kind.from_text(item) for (name, kind), item in fields}))

    def _made(self, fields: dict[str, object]) -> object:
        try:
            return self._cls(**fields)
        except Exception as broken:
            raise Misfit(fields, f"fields that {self.name} accepts") from broken

    def _checked(self, value: object) -> dict[str, object]:
        canonical = {}
        for name, kind in self._fields.items():
            try:
                canonical[name] = kind.check(getattr(value, name))
            except Misfit as misfit:
                raise misfit.under(f".{name}") from None
        return canonical

    def _tokens(self, fields: dict[str, object]) -> str:
        return join_items([kind.encode(fields[name]) for name, kind in self._fields.items()])
