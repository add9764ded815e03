"""The interface between the store's parts and a database, which takes statements and returns rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from bot.core.changes import Announcement

Value: TypeAlias = str | bytes | int | float | None
Values: TypeAlias = Mapping[str, Value] | Sequence[Value]
Statement: TypeAlias = tuple[str, Values]


class Row(Protocol):
    """One row of an answer, read by column name, by index or in order."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> Sequence[str]: ...


Rows: TypeAlias = Sequence[Row]


class Lock(NamedTuple):
    """Something that one transaction at a time may decide about, by reading first what it then writes.

    Without one, two that run at once would both find room for what only one of them has.
    """

    subject: Literal["user", "guild", "conversation", "message", "turn", "quotas", "summaries"]
    id: int | str = 0


@dataclass(frozen=True, slots=True)
class Dialect:
    """What has to be said differently to each engine. All else of the store's SQL is in words that all of them know."""

    new_conversation_id: str
    """SQL for an id that no conversation ever had, in an UPDATE of `conversations`."""
    text: str
    """SQL for the text that bytes are in UTF-8, with {} for the bytes."""

    def text_of(self, utf8: str) -> str:
        return self.text.format(utf8)


class Engine(Protocol):
    """Runs SQL on one database. Every method raises `StoreError` where the database fails.

    A write is complete or undone even after an error, a kill or a cancelled caller.
    """

    @property
    def dialect(self) -> Dialect: ...

    def storable(self, text: str) -> str:
        """A text as the database keeps it: one code point for one, so that offsets stay true."""
        ...

    async def read(self, sql: str, **values: Value) -> Rows:
        """The rows of a query. Reading never waits for a commit."""
        ...

    async def write(self, sql: str, **values: Value) -> Rows:
        """Run and commit one statement; the answer is the rows that it returns."""
        ...

    async def transaction(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """Run and commit several statements as one transaction; the answer has the rows of each.

        Transactions may run at once. Those that name the same lock run one after the other. Other processes that use
        the database are told the announcements with the commit; there may be announcements alone, without statements.
        """
        ...

    async def delete_securely(
        self, *statements: Statement, locks: Sequence[Lock] = (), tells: Sequence[Announcement] = ()
    ) -> list[Rows]:
        """Run and commit statements that delete or forget, of which some return rows if they do.

        In the background the engine then deletes the rows of what was forgotten, and removes all deleted text from its
        storage, as far as it can.
        """
        ...

    async def erase_deleted(self) -> None:
        """Do now what is due in the background for everything deleted before this call."""
        ...

    def erasure_due_for(self) -> float:
        """Seconds since the oldest text was deleted that storage still has, as far as is known. 0: there is none."""
        ...

    async def ping(self) -> None:
        """Return if the database can be read and a write could begin."""
        ...
