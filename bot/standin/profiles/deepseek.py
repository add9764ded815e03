"""DeepSeek's API.

It thinks by default, and sends comments while a request waits: https://api-docs.deepseek.com/quick_start/rate_limit.
Error codes: https://api-docs.deepseek.com/quick_start/error_codes; their bodies:
https://github.com/deepseek-ai/DeepSeek-R1/issues/82 and https://github.com/1Panel-dev/MaxKB/issues/3797.
"""

from bot.standin.profile import Profile, Stream, UsagePlace
from bot.standin.script import openai_error

_CODE = "invalid_request_error"

PROFILE = Profile(
    title="DeepSeek",
    too_long=lambda sizes: openai_error(
        400,
        f"This model's maximum context length is {sizes.window} tokens. However, you requested {sizes.total} tokens"
        f" ({sizes.prompt} in the messages, {sizes.reply} in the completion). Please reduce the length of the messages"
        " or completion.",
        "invalid_request_error",
        _CODE,
    ),
    allowance_counts=True,
    stream=Stream(
        thought=lambda text: {"content": None, "reasoning_content": text},
        first={"role": "assistant", "content": None, "reasoning_content": ""},
        usage=UsagePlace.FINISH,
        preface=b": keep-alive\n\n",
    ),
    bad_key=openai_error(401, "Authentication Fails, Your api key: ****gA12 is invalid", "authentication_error", _CODE),
    no_credit=openai_error(402, "Insufficient Balance", "unknown_error", _CODE),
    busy=openai_error(
        503,
        "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
        "service_unavailable_error",
        _CODE,
    ),
)
