"""Checks REST bodies against Discord's own OpenAPI description.

https://github.com/discord/discord-api-spec
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.standin.entities import Json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator  # type: ignore[import-untyped]  # it ships no types

_NAMED_ERROR = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}

_Validate = Callable[["Side", tuple[str, ...]], "Validator"]


class Side(StrEnum):
    """The author of a body. Discord accepts snowflakes as numbers from clients but always writes them as strings."""

    CLIENT = "urn:discord:request"
    SERVER = "urn:discord:response"


class OpenApi:
    """Checks bodies and collects `violations`. Each violation is a sentence about one body that does not fit."""

    def __init__(self, description: Path) -> None:
        self.violations: list[str] = []
        self._paths, self._validator = _load(description)

    def check(self, method: str, route: str, sent: Any, status: int, answered: Any) -> None:
        """Check one request and its response. A request body that was refused is not checked."""
        described = self._paths.get(_anonymous(route))
        if described is None or method.lower() not in described[1]:
            self.violations.append(f"{method} {route} is not described")
            return
        path, item = described
        operation = item[method.lower()]
        where = ("paths", path, method.lower())
        if sent is not None and status < 400:
            self._check_request(operation, where, sent)
        self._check_response(operation, where, status, answered)

    def _check_request(self, operation: Any, where: tuple[str, ...], sent: Any) -> None:
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            self.violations.append(f"{' '.join(where[1:])} takes no body")
            return
        self._validate(Side.CLIENT, (*where, "requestBody", "content", "application/json", "schema"), sent)

    def _check_response(self, operation: Any, where: tuple[str, ...], status: int, answered: Any) -> None:
        responses = operation["responses"]
        key = str(status) if str(status) in responses else f"{status // 100}XX"
        if key not in responses:
            self.violations.append(f"{' '.join(where[1:])} does not answer with {status}")
            return
        described = responses[key]
        at: tuple[str, ...] = (*where, "responses", key)
        if reference := described.get("$ref"):
            at = tuple(reference.removeprefix("#/").split("/"))
        has_body = "content" in described or reference is not None
        if has_body != (answered is not None):
            self.violations.append(f"{' '.join(where[1:])} {status}: {'no' if has_body else 'an unexpected'} body")
        elif has_body:
            self._validate(Side.SERVER, (*at, "content", "application/json", "schema"), answered)

    def _validate(self, side: Side, at: tuple[str, ...], body: Any) -> None:
        for error in self._validator(side, at).iter_errors(body):
            deepest = _deepest(error)
            self.violations.append(f"{' '.join(at[1:3])} {side.name}: {deepest.json_path}: {deepest.message[:300]}")


@cache
def _load(description: Path) -> tuple[dict[str, tuple[str, Json]], _Validate]:
    """Load the description. Return its paths and a function that makes validators. The process caches both."""
    # The jsonschema package is installed for developers only. Only they use a description.
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    text = description.read_bytes()
    document, lenient = json.loads(text), json.loads(text)
    # The codes inside `errors` are names: https://discord.com/developers/docs/reference#error-messages
    document["components"]["schemas"]["InnerErrors"]["properties"]["_errors"]["items"] = _NAMED_ERROR
    # Forwards are excluded: https://docs.discord.com/developers/resources/message#message-reference-types
    document["components"]["schemas"]["MessageReferenceType"]["oneOf"].append({"title": "FORWARD", "const": 1})
    lenient["components"]["schemas"]["SnowflakeType"]["type"] = ["string", "integer"]
    registry: Registry[Any] = Registry().with_resources(
        (side, DRAFT202012.create_resource(content))
        for side, content in ((Side.CLIENT, lenient), (Side.SERVER, document))
    )

    @cache
    def validator(side: Side, at: tuple[str, ...]) -> Validator:
        pointer = "/".join(step.replace("~", "~0").replace("/", "~1") for step in at)
        return Draft202012Validator({"$ref": f"{side}#/{pointer}"}, registry=registry)

    return {_anonymous(path): (path, item) for path, item in document["paths"].items()}, validator


def _deepest(error: Any) -> Any:
    """Return the most helpful error of a `oneOf`. It is the error at the deepest place in the body."""
    if not error.context:
        return error
    return max(map(_deepest, error.context), key=lambda each: len(each.absolute_path))


def _anonymous(path: str) -> str:
    """Remove the parameter names from a path. The description has other names, such as `{emoji_name}` for `{emoji}`."""
    return re.sub(r"{\w+}", "{}", path)
