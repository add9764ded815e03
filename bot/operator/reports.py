"""The operator's reports on stored conversations, deletions, usage and processes, as text. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.core.context import BYTES_PER_TOKEN
from bot.core.records import ConversationOverview, ProcessRecord, UserRecord
from bot.core.shards import Shards, span
from bot.core.usage import DAY, Prices, Total, UsageReport, UsageRow, grouped, money

WIDTH = 100
"""Columns of a report that is not written to a terminal."""

_NARROW = 80
"""Columns of a report that is the same everywhere."""
_GAP = "  "
_FIGURES = ("requests", "context", "replies", "tokens", "cost")
_NAME_WIDTH = 8
"""The fewest columns of a name that is cut."""


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    width: int
    left: bool = False
    """Whether the column holds names, which are aligned to the left and may be cut."""
    wide: bool = False
    """Whether the column is left out of a narrow table."""


# Discord's ids have up to 19 digits for some centuries.
_COLUMNS = (
    _Column("conversation", 19, left=True),
    _Column("server", 19, left=True),
    _Column("questions", 9),
    _Column("people", 6, wide=True),
    _Column("tokens ≈", 10),
    _Column("first", 10, wide=True),
    _Column("last used", 10),
)


class ConversationTable:
    """A table of conversations that are read page by page, `width` columns wide."""

    def __init__(self, width: int = WIDTH) -> None:
        self._width = width
        whole = sum(column.width + len(_GAP) for column in _COLUMNS) - len(_GAP)
        self._kept = [index for index, column in enumerate(_COLUMNS) if whole <= width or not column.wide]

    def heads(self) -> str:
        """The table's heading."""
        return self._line(*(column.head for column in _COLUMNS))

    def lines(self, remembered: Iterable[ConversationOverview]) -> Iterator[str]:
        """The lines of these conversations, each followed by its persona and model if they were set."""
        for each in remembered:
            yield self._line(
                each.conversation.channel if each.conversation.platform == "discord" else str(each.conversation),
                "-" if each.guild_id is None else str(each.guild_id),
                f"{each.turns:,}",
                f"{each.people:,}",
                f"{_tokens(each.size):,}",
                "-" if each.first_at is None else _date(each.first_at),
                _date(each.used_at),
            )
            behaviour = (["a persona"] if each.persona else []) + ([f"the model {each.model}"] if each.model else [])
            if behaviour:
                yield _cut(f"{_GAP}has {' and '.join(behaviour)}", self._width)

    def _line(self, *cells: str) -> str:
        columns = [_COLUMNS[index] for index in self._kept]
        return _row(
            [cells[index] for index in self._kept],
            [column.width for column in columns],
            names=sum(column.left for column in columns),
        )


def total(conversations: int, questions: int, size: int) -> str:
    """The table's last line. `size` is in UTF-8 bytes."""
    if not conversations:
        return "There are no conversations."
    return f"{_count(conversations, 'conversation')}, {_count(questions, 'question')}, about {_tokens(size):,} tokens"


def deletion_preview(user_id: int, extent: UserRecord) -> str:
    """The sentence before a deletion, on its extent."""
    what = f"{_count(extent.turns, 'question')} in {_count(extent.conversations, 'conversation')}"
    return f"Stored about {user_id}: {what}, quotes by others, and their usage."


def nothing_stored(user_id: int) -> str:
    """The sentence for a person of whom nothing is stored."""
    return f"Nothing is stored about {user_id}."


def deleted(user_id: int, questions: int, *, blocked: bool) -> str:
    """The sentences after a deletion: what was deleted, and what stays."""
    lines = [
        f"Forgotten: {_count(questions, 'question')} of {user_id}.",
        "The messages on Discord stay, and so do backups and logs.",
    ]
    if blocked:
        lines.append("A server's moderators have blocked this person. The block and the id stay.")
    return "\n".join(lines)


ERASING = "Erasing it from the database. This can take a minute."
NOT_ERASED = (
    "It is deleted, but not erased from the file yet: another program reads the file, or the disk is full. The running"
    " bot tries again by itself; without a bot, run this command again."
)


COMPACTED_BY_ITSELF = "The database is on a PostgreSQL server, which gives space back by itself: you need do nothing."


def copied_by_pg_dump(database: str, file: Path) -> str:
    """The sentence on how to copy a database on a server, whose URL has no password here."""
    command = shlex.join(["pg_dump", "--format=custom", f"--file={file}", database])
    return f"The database is on a PostgreSQL server: copy it with `{command}`, and restore it with pg_restore."


def compacting(part: float | None) -> str:
    """The line on how far compacting is: the part of the file that is written, or None while a copy is made first."""
    if part is None:
        return "Step 1 of 2: copying to a temporary file."
    return f"Step 2 of 2: writing the new file, {part:.0%}."


def compacted(database: Path, before: int, after: int) -> str:
    """The sentence on a compacted file and its bytes before and after."""
    return f"The database {database} now has {after / 1e6:,.1f} MB, before {before / 1e6:,.1f} MB."


def moving(step: str, done: int, of: int) -> str:
    """The line on how far a move is."""
    return f"{step} {done:,} of {of:,} rows ({done / max(1, of):.0%})."


def moved(file: Path, to: str, turns: int, conversations: int, unprepared: str | None) -> str:
    """What a move has brought over, and what is to be done next. `unprepared`: why ANALYZE failed."""
    first = (
        f"The move is complete, but the server could not prepare for it ({unprepared}). Run"
        f" `psql -c ANALYZE {shlex.quote(to)}`, or it answers slowly at first.\n"
        if unprepared
        else ""
    )
    return (
        f"Moved {turns:,} questions in {conversations:,} conversations, and everything else, to {to}. All of it was"
        f" compared with the file.\n{first}"
        f"Next: set DATABASE_URL in place of DATABASE_PATH and start the bot. Then delete {file} with the files beside"
        " it: people can have nothing in it forgotten any more."
    )


def processes(all_of_them: Sequence[ProcessRecord], unserved: Shards, max_age: float) -> str:
    """The table of a bot's processes, 80 columns wide, and which shards are `unserved`.

    A report that is older than `max_age` seconds comes from a process that is blocked or gone.
    """
    lines = [_process_line("computer", "pid", "serves", "health")]
    standbys = 0
    for each in all_of_them:
        serves = str(each.shards).removeprefix("shards ") if each.shards.ids else "stands by"
        if each.age > max_age:
            health, why = "blocked or gone", f"No report for {_duration(each.age)}: look at its log, then restart it."
        elif not each.well:
            health, why = "not well", each.said
        else:
            health, why = "well", ""
            standbys += not each.shards.ids
        lines.append(_process_line(each.host, str(each.pid), serves, health))
        lines += (
            textwrap.fill(line, _NARROW, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
            for line in why.splitlines()
        )
    if not unserved.ids:
        served = "All servers are served."
    elif unserved.count == 1:
        served = "No process serves well."
    else:
        served = f"No process serves shards {span(unserved.ids)} of {unserved.count} well."
    number = _count(standbys, "process", "processes") if standbys else "No process"
    standing_by = f"{number} {'stand' if standbys > 1 else 'stands'} by."
    return "\n".join([*lines, "", textwrap.fill(f"{served} {standing_by}", _NARROW)])


def _process_line(host: str, pid: str, serves: str, health: str) -> str:
    return f"{_cut(host, 32):32}  {pid:8}  {_cut(serves, 19):19}  {health}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def usage(report: UsageReport, prices: Prices, *, width: int = WIDTH) -> str:
    """The tables of usage: by day and model, by server, and by the people who used most."""
    if not report.by_day:
        return "Nothing was used in these days."
    by_day = grouped(report.by_day, lambda row: (row.day, row.model))
    by_person = grouped(report.by_person, lambda row: row.user_id)
    tables = [
        _table(
            ("day (UTC)", "model"),
            [((_date(day * DAY), model), by_day[day, model]) for day, model in sorted(by_day)],
            prices,
            width,
            total=True,
        ),
        _table(
            ("server",),
            [
                ((_name(guild, "none (direct messages, terminal)"),), each)
                for guild, each in grouped(report.by_guild, lambda row: row.guild_id).items()
            ],
            prices,
            width,
        ),
        _table(
            (f"person (the {len(by_person)} who used most)",),
            [((_name(person, "failed, forgotten or unknown"),), each) for person, each in by_person.items()],
            prices,
            width,
        ),
    ]
    details = _details(report.by_day, width)
    if details:
        tables.insert(1, details)
    unpriced = sorted({row.model for row in report.by_day} - prices.of_models.keys())
    if unpriced:
        tables.append(textwrap.fill(f"No price is set in PRICES for: {', '.join(unpriced)}.", width))
    return "\n\n".join(tables)


def _details(rows: Sequence[UsageRow], width: int) -> str | None:
    """The table of the cached and reasoning tokens of each model that has any, or None without such a model."""
    lines = [
        [
            model,
            f"{total.cached_tokens:,}",
            _share(total.cached_tokens, total.prompt_tokens),
            f"{total.reasoning_tokens:,}",
            _share(total.reasoning_tokens, total.reply_tokens),
        ]
        for model, each in grouped(rows, lambda row: row.model).items()
        if (total := Prices().total(each)).cached_tokens or total.reasoning_tokens
    ]
    if not lines:
        return None
    return _aligned([["model", "cached", "of context", "reasoning", "of replies"], *lines], width, names=1)


def _share(part: int, whole: int) -> str:
    return f"{part * 100 // whole} %" if whole else "-"


def _table(
    heads: tuple[str, ...],
    entries: Sequence[tuple[tuple[str, ...], Sequence[UsageRow]]],
    prices: Prices,
    width: int,
    *,
    total: bool = False,
) -> str:
    """One table: names, then figures. `total` adds a line with their sum."""
    lines = [[*names, *_figures(prices.total(rows))] for names, rows in entries]
    if total:
        everything = prices.total(row for _, rows in entries for row in rows)
        lines.append(["total", *[""] * (len(heads) - 1), *_figures(everything)])
    return _aligned([[*heads, *_FIGURES], *lines], width, names=len(heads))


def _aligned(lines: Sequence[Sequence[str]], width: int, *, names: int) -> str:
    """Lines of `names` names and then figures, in columns. If they are too wide, the last name is cut."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    if over > 0:
        widths[names - 1] = max(_NAME_WIDTH, widths[names - 1] - over)
    return "\n".join(_row(line, widths, names=names) for line in lines)


def _row(cells: Sequence[str], widths: Sequence[int], *, names: int) -> str:
    """One line of a table: `names` cells aligned to the left and cut to their width, then figures to the right."""
    columns = enumerate(zip(cells, widths, strict=True))
    return _GAP.join(
        _end_of(cell, width).ljust(width) if index < names else cell.rjust(width) for index, (cell, width) in columns
    ).rstrip()


def _figures(total: Total) -> tuple[str, ...]:
    counts = (total.requests, total.prompt_tokens, total.reply_tokens, total.tokens)
    return (*(f"{count:,}" for count in counts), money(total) or "-")


def _name(of: int | None, otherwise: str) -> str:
    return otherwise if of is None else str(of)


def _end_of(name: str, width: int) -> str:
    """The end of a name that is too long. The end is kept, because models of one maker begin alike."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _tokens(size: int) -> int:
    return round(size / BYTES_PER_TOKEN)


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
