"""Discord's rules for messages: lengths, embeds, components, flags. A violation raises `ApiError`.

Limits: https://discord.com/developers/docs/resources/message and .../components/reference
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.standin.entities import Attachment, Json, MessageFlag, walk_components
from bot.standin.errors import ApiError, empty_message, invalid_form

MAX_CONTENT = 2000
MAX_FILES = 10
MAX_FILE_BYTES = 20 * 1024 * 1024
"""The largest file size in a server without boosts."""

SETTABLE = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.SUPPRESS_NOTIFICATIONS | MessageFlag.COMPONENTS_V2
EDITABLE = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.COMPONENTS_V2

_EMBED_LIMITS = {"title": 256, "description": 4096, "footer.text": 2048, "author.name": 256}
_V1_ROW_PARTS = {2, 3, 5, 6, 7, 8}
_V2_TOP_LEVEL = {1, 9, 10, 12, 13, 14, 17}
_SELECTS = {3, 5, 6, 7, 8}
_CUSTOM_EMOJI = re.compile(r"(?:a?:)?(\w{2,32}):(\d+)")

Problems = dict[str, tuple[str, str]]
"""Problems in a body: Discord's name and text of each problem, by its dotted path in the body."""

REQUIRED = ("BASE_TYPE_REQUIRED", "This field is required")


def too_long(most: int) -> tuple[str, str]:
    return "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length."


def bad_length(least: int, most: int) -> tuple[str, str]:
    return "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length."


def check_message(body: Json, files: Iterable[Attachment], *, flags: MessageFlag, max_content: int) -> None:
    """Check the parts of a body that sending and editing have in common."""
    problems: Problems = {}
    content = body.get("content") or ""
    # Discord counts code points, as `len` does.
    if len(content) > max_content:
        problems["content"] = too_long(max_content)
    nonce = body.get("nonce")
    if isinstance(nonce, str) and len(nonce) > 25:
        problems["nonce"] = too_long(25)
    _check_embeds(body.get("embeds") or [], problems)
    components = body.get("components") or []
    if MessageFlag.COMPONENTS_V2 in flags:
        _check_v2(body, components, problems)
    else:
        _check_rows(components, problems)
    _check_parts(components, problems)
    files = list(files)
    if len(files) > MAX_FILES:
        problems["attachments"] = too_long(MAX_FILES)
    if problems:
        raise invalid_form(problems)
    if any(file.size > MAX_FILE_BYTES for file in files):
        raise ApiError(413, 40005, "Request entity too large")


def check_not_empty(*parts: object) -> None:
    """Check that at least one of content, embeds, components and files is not empty."""
    if not any(part.strip() if isinstance(part, str) else part for part in parts):
        raise empty_message()


def reaction_key(emoji: str) -> str:
    """Return an emoji from a path in its normal form: `name:id`, or the character itself. Plain ASCII is refused."""
    if custom := _CUSTOM_EMOJI.fullmatch(emoji):
        return f"{custom[1]}:{custom[2]}"
    if not emoji or emoji.isascii():
        raise ApiError(400, 10014, "Unknown Emoji")
    return emoji


def numbered(components: list[Json]) -> list[Json]:
    """Give an id to every component that has none, as Discord does."""
    for number, component in enumerate(walk_components(components), start=1):
        component.setdefault("id", number)
    return components


def _check_embeds(embeds: list[Json], problems: Problems) -> None:
    if len(embeds) > 10:
        problems["embeds"] = too_long(10)
    total = 0
    for index, embed in enumerate(embeds):
        texts = {"title": embed.get("title"), "description": embed.get("description")}
        texts["footer.text"] = (embed.get("footer") or {}).get("text")
        texts["author.name"] = (embed.get("author") or {}).get("name")
        for path, text in texts.items():
            total += len(text or "")
            if len(text or "") > _EMBED_LIMITS[path]:
                problems[f"embeds.{index}.{path}"] = too_long(_EMBED_LIMITS[path])
        fields = embed.get("fields") or []
        if len(fields) > 25:
            problems[f"embeds.{index}.fields"] = too_long(25)
        for number, each in enumerate(fields):
            for key, most in (("name", 256), ("value", 1024)):
                total += len(each.get(key) or "")
                if not 1 <= len(each.get(key) or "") <= most:
                    problems[f"embeds.{index}.fields.{number}.{key}"] = bad_length(1, most)
    if total > 6000:
        problems["embeds"] = ("MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _check_rows(components: list[Json], problems: Problems) -> None:
    if len(components) > 5:
        problems["components"] = bad_length(1, 5)
    for index, row in enumerate(components):
        path = f"components.{index}"
        parts = row.get("components") or []
        if row.get("type") != 1:
            problems[f"{path}.type"] = ("UNION_TYPE_CHOICES", "Value of field must be one of (1,).")
        elif not 1 <= len(parts) <= 5 or (len(parts) > 1 and any(part["type"] != 2 for part in parts)):
            problems[f"{path}.components"] = bad_length(1, 5)
        elif any(part["type"] not in _V1_ROW_PARTS for part in parts):
            problems[f"{path}.components"] = ("UNION_TYPE_CHOICES", "Value of field must be a button or a select.")


def _check_v2(body: Json, components: list[Json], problems: Problems) -> None:
    for legacy in ("content", "embeds", "poll", "sticker_ids"):
        if body.get(legacy):
            problems[legacy] = (
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                f"The '{legacy}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2",
            )
    for index, component in enumerate(components):
        if component.get("type") not in _V2_TOP_LEVEL:
            problems[f"components.{index}.type"] = ("UNION_TYPE_CHOICES", f"Must be one of {sorted(_V2_TOP_LEVEL)}.")
    every = list(walk_components(components))
    if len(every) > 40:
        problems["components"] = too_long(40)
    if sum(len(each.get("content") or "") for each in every if each.get("type") == 10) > 4000:
        problems["components"] = ("COMPONENT_MAX_TOTAL_TEXT", "Total text must be 4000 or fewer in length.")


def _check_parts(components: list[Json], problems: Problems) -> None:
    seen: set[str] = set()
    for place, part in enumerate(walk_components(components)):
        path = f"components.{place}"
        kind = part.get("type")
        custom_id = part.get("custom_id")
        if kind == 2 and part.get("style") == 5:
            if not part.get("url"):
                problems[f"{path}.url"] = REQUIRED
        elif kind in {2, 3, 5, 6, 7, 8} and part.get("style") != 6 and not custom_id:
            problems[f"{path}.custom_id"] = REQUIRED
        if kind == 2 and len(part.get("label") or "") > 80:
            problems[f"{path}.label"] = too_long(80)
        if kind in _SELECTS:
            _check_select(part, path, problems)
        if custom_id is None:
            continue
        if not 1 <= len(custom_id) <= 100:
            problems[f"{path}.custom_id"] = bad_length(1, 100)
        if custom_id in seen:
            problems[f"{path}.custom_id"] = (
                "COMPONENT_CUSTOM_ID_DUPLICATED",
                "Component custom id cannot be duplicated",
            )
        seen.add(custom_id)


def _check_select(menu: Json, path: str, problems: Problems) -> None:
    least, most = menu.get("min_values", 1), menu.get("max_values", 1)
    if not 0 <= least <= 25 or not max(1, least) <= most <= 25:
        problems[f"{path}.max_values"] = ("NUMBER_TYPE_MAX", "int value should be between min_values and 25.")
    if len(menu.get("placeholder") or "") > 150:
        problems[f"{path}.placeholder"] = too_long(150)
    if menu["type"] != 3:
        return
    options = menu.get("options") or []
    if not 1 <= len(options) <= 25:
        problems[f"{path}.options"] = bad_length(1, 25)
    if len({option.get("value") for option in options}) < len(options):
        problems[f"{path}.options"] = ("SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is used")
    if sum(bool(option.get("default")) for option in options) > most:
        problems[f"{path}.options"] = ("SELECT_COMPONENT_TOO_MANY_DEFAULT_VALUES", "Too many default values")
    for number, option in enumerate(options):
        for key, shortest in (("label", 1), ("value", 1), ("description", 0)):
            if not shortest <= len(option.get(key) or "") <= 100:
                problems[f"{path}.options.{number}.{key}"] = bad_length(shortest, 100)
