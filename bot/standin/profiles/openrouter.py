"""OpenRouter.

It sends comments while a model is slow, and reasoning twice:
https://openrouter.ai/docs/api/reference/streaming and https://openrouter.ai/docs/use-cases/reasoning-tokens. No credit:
https://github.com/continuedev/continue/issues/11154. Other errors: https://openrouter.ai/docs/api/reference/errors.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import Refusal

PROFILE = Profile(
    title="OpenRouter",
    too_long=lambda sizes: Refusal(
        400,
        {
            "error": {
                "message": f"This endpoint's maximum context length is {sizes.window} tokens. However, you requested"
                f" about {sizes.total} tokens ({sizes.prompt} of text input, {sizes.reply} in the output). Please"
                ' reduce the length of either one, or use the "middle-out" transform to compress your prompt'
                " automatically.",
                "code": 400,
                "metadata": {"provider_name": None},
            }
        },
    ),
    allowance_counts=True,
    stream=Stream(
        thought=lambda text: {
            "content": "",
            "reasoning": text,
            "reasoning_details": [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}],
        },
        first=None,
        each={"role": "assistant"},
        preface=b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n",
    ),
    bad_key=Refusal(401, {"error": {"message": "No auth credentials found", "code": 401}}),
    no_credit=Refusal(
        402,
        {
            "error": {
                "message": "This request requires more credits, or fewer max_tokens. You requested up to 4000 tokens,"
                " but can only afford 222. To increase, visit https://openrouter.ai/settings/credits and upgrade to a"
                " paid account",
                "code": 402,
                "metadata": {"provider_name": None},
            }
        },
    ),
    busy=Refusal(
        429,
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": "{model} is temporarily rate-limited upstream. Please retry shortly."},
            }
        },
    ),
    entry=lambda window: {"context_length": window, "top_provider": {"context_length": window}},
)
