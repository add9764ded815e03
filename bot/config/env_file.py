"""Reading the `.env` file and the mistakes in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

_OTHER_NAMES = {"OPENAI_API_BASE": "OPENAI_BASE_URL", "BOT_TOKEN": "DISCORD_TOKEN", "TOKEN": "DISCORD_TOKEN"}
"""Names that other bots and older clients use, and that are too different from ours to be found as misspellings."""


def read(env_file: Path | None) -> tuple[Mapping[str, str | None], list[str]]:
    """The values in a `.env` file, and what cannot be read of it. A missing file sets nothing."""
    if env_file is None:
        return {}, []
    try:
        # Some editors on Windows begin a file with a byte order mark.
        text = env_file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{env_file}: cannot be read ({error.strerror}); make it a file that this user may read."]
    except UnicodeDecodeError:
        return {}, [f"{env_file}: is not UTF-8; save it as UTF-8 text."]
    values: dict[str, str | None] = {}
    problems = []
    # `dotenv_values` would only log the lines it cannot read, and expand a "$" in a key.
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            problems.append(f"{env_file}: line {binding.original.line} cannot be read; write NAME=value.")
        elif binding.key is not None:
            values[binding.key] = binding.value
    return values, problems


def misspelt(name: str, known: Collection[str]) -> str | None:
    """A sentence on a name that is probably meant to be one of the `known` settings, if it is."""
    upper = name.upper()
    like = _OTHER_NAMES.get(upper) or next(iter(get_close_matches(upper, known, n=1, cutoff=0.8)), None)
    return None if like is None else f"{name}: unknown; did you mean {like}?"
