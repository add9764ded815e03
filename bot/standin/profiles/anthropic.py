"""Anthropic's endpoint that is compatible with OpenAI's.

It ignores reasoning_effort and does not return the reasoning: https://platform.claude.com/docs/en/api/openai-sdk. The
prompt and the longest reply that a request allows have to fit the window together:
https://github.com/docker/docker-agent/issues/569. Busy is 529: https://github.com/anthropics/claude-code/issues/35792.
"""

from bot.standin.profile import Profile, Sizes, Stream
from bot.standin.script import Refusal, openai_error


def _too_long(sizes: Sizes) -> Refusal:
    said = (
        f"prompt is too long: {sizes.prompt} tokens > {sizes.window} maximum"
        if sizes.prompt > sizes.window
        else f"input length and `max_tokens` exceed context limit: {sizes.prompt} + {sizes.reply} > {sizes.window},"
        " decrease input length or `max_tokens` and try again"
    )
    return openai_error(400, said, "invalid_request_error", "invalid_request_error")


PROFILE = Profile(
    title="Anthropic",
    too_long=_too_long,
    allowance_counts=True,
    stream=Stream(thought=lambda text: None),
    bad_key=openai_error(401, "invalid x-api-key", "authentication_error", "authentication_error"),
    no_credit=openai_error(
        400,
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or"
        " purchase credits.",
        "invalid_request_error",
        "invalid_request_error",
    ),
    busy=openai_error(529, "Overloaded", "overloaded_error", "overloaded_error"),
)
