"""xAI's API (Grok).

Its errors are two strings, `code` and `error`. A context that is too long: https://github.com/cline/cline/issues/3120.
A wrong key is a 400: https://github.com/openai/codex/issues/1352. No credit is a 403. A model
without efforts refuses reasoning_effort: https://docs.x.ai/docs/guides/reasoning.
"""

from bot.standin.profile import Profile, refuse
from bot.standin.script import Refusal

_INVALID = "Client specified an invalid argument"


def _refused(status: int, code: str, said: str) -> Refusal:
    return Refusal(status, {"code": code, "error": said})


PROFILE = Profile(
    title="xAI",
    refuses={
        "reasoning_effort": refuse(_refused(400, _INVALID, "Model {model} does not support parameter reasoningEffort."))
    },
    too_long=lambda sizes: _refused(
        400,
        _INVALID,
        f"This model's maximum prompt length is {sizes.window} but the request contains {sizes.prompt} tokens.",
    ),
    bad_key=_refused(
        400,
        _INVALID,
        "Incorrect API key provided: sk***gA. You can obtain an API key from https://console.x.ai.",
    ),
    no_credit=_refused(
        403,
        "The caller does not have permission to execute the specified operation",
        "Your team 00000000-0000-0000-0000-000000000000 has either used all available credits or reached its monthly"
        " spending limit. To continue making API requests, please purchase more credits or raise your spending limit.",
    ),
    busy=_refused(429, "Some resource has been exhausted", "Too many requests. Please slow down."),
)
