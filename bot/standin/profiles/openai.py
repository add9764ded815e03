"""OpenAI's own API, with a reasoning model.

Such a model takes `max_completion_tokens` only, keeps its reasoning to itself and counts it as part of the reply:
https://platform.openai.com/docs/guides/reasoning and https://platform.openai.com/docs/guides/error-codes/api-errors.
"""

from bot.standin.profile import PLAIN, Profile, Stream, refuse
from bot.standin.script import openai_error

PROFILE = Profile(
    title="OpenAI",
    refuses={
        "max_tokens": refuse(
            openai_error(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
                " instead.",
                "invalid_request_error",
                "unsupported_parameter",
                "max_tokens",
            )
        )
    },
    stream=Stream(thought=lambda text: None),
    no_credit=PLAIN.no_credit,
)
