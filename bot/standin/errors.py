"""Discord's error answers: status, code and message. An error about a malformed body also lists the problems."""

from __future__ import annotations

from collections.abc import Mapping

from bot.standin.entities import Json


class ApiError(Exception):
    """A REST answer that reports an error. https://discord.com/developers/docs/topics/opcodes-and-status-codes"""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors

    def body(self) -> Json:
        body: Json = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


def invalid_form(problems: Mapping[str, tuple[str, str]]) -> ApiError:
    """Build error 50035. `problems` maps a dotted path in the body to the name and the text of the problem."""
    tree: Json = {}
    for path, (code, message) in problems.items():
        node = tree
        for step in path.split("."):
            node = node.setdefault(step, {})
        node.setdefault("_errors", []).append({"code": code, "message": message})
    return ApiError(400, 50035, "Invalid Form Body", tree)


def unknown(what: str) -> ApiError:
    """Build Discord's error for an id that does not exist or that the bot cannot see."""
    codes = {
        "Application": 10002,
        "Channel": 10003,
        "Guild": 10004,
        "Member": 10007,
        "Message": 10008,
        "User": 10013,
        "Emoji": 10014,
        "Webhook": 10015,
        "Interaction": 10062,
    }
    return ApiError(404, codes[what], f"Unknown {what}")


def unauthorized() -> ApiError:
    return ApiError(401, 0, "401: Unauthorized")


def missing_access() -> ApiError:
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    return ApiError(403, 50013, "Missing Permissions")


def empty_message() -> ApiError:
    return ApiError(400, 50006, "Cannot send an empty message")


def archived_thread() -> ApiError:
    return ApiError(
        400,
        50083,
        "Tried to perform an operation on an archived thread, such as editing a message or adding a user to the thread",
    )


def locked_thread() -> ApiError:
    return ApiError(403, 160005, "This thread is locked")


def wrong_channel_type() -> ApiError:
    return ApiError(400, 50024, "Cannot execute action on this channel type")
