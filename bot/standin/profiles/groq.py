"""Groq's API.

It counts in `x_groq.usage`, refuses a long context without a number
(https://github.com/thepersonalaicompany/amurex-backend/issues/51) and calls itself busy with 498:
https://console.groq.com/docs/errors. Reasoning and its efforts: https://console.groq.com/docs/reasoning.
"""

from bot.standin.profile import Profile, Stream, UsagePlace, refuse_unless
from bot.standin.script import openai_error

PROFILE = Profile(
    title="Groq",
    refuses={
        "reasoning_effort": refuse_unless(
            ("low", "medium", "high"),
            openai_error(
                400,
                "`reasoning_effort` must be one of `low`, `medium`, or `high`",
                "invalid_request_error",
                None,
                "reasoning_effort",
            ),
        )
    },
    too_long=lambda sizes: openai_error(
        400,
        "Please reduce the length of the messages or completion.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    ),
    stream=Stream(thought=lambda text: {"reasoning": text}, usage=UsagePlace.X_GROQ),
    bad_key=openai_error(401, "Invalid API Key", "invalid_request_error", "invalid_api_key"),
    busy=openai_error(498, "`flex` tier capacity exceeded", "capacity_exceeded", None),
    entry=lambda window: {"owned_by": "OpenAI", "context_window": window, "max_completion_tokens": 8192},
)
