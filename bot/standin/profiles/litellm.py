"""LiteLLM's proxy.

Everything here is as its version 1.108.7 sent it, without a database and with `mock_response`: a wrong key is 400
`no_db_connection`, and what a model does not support is refused by the proxy itself.
"""

from bot.standin.profile import Profile, Stream, refuse
from bot.standin.script import openai_error

_NO_FALLBACK = "\n\nLiteLLM: model group '{model}' failed with the error above. No fallback was attempted."

PROFILE = Profile(
    title="LiteLLM",
    refuses={
        "reasoning_effort": refuse(
            openai_error(
                400,
                "litellm.UnsupportedParamsError: openai does not support parameters: ['reasoning_effort'], for"
                " model={model}. To drop these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n"
                " drop_params: true`\n. \n If you want to use these params dynamically send"
                " allowed_openai_params=['reasoning_effort'] in your request." + _NO_FALLBACK,
                "invalid_request_error",
                "400",
            )
        )
    },
    too_long=lambda sizes: openai_error(
        400,
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException -"
        f" request ({sizes.prompt} tokens) exceeds the available context size ({sizes.window} tokens), try increasing"
        " it\nmodel={model}. context_window_fallbacks=None. fallbacks=None.\n\nSet 'context_window_fallback' -"
        " https://docs.litellm.ai/docs/routing#fallbacks" + _NO_FALLBACK,
        "invalid_request_error",
        "400",
    ),
    stream=Stream(first=None, each={}, pending={}),
    bad_key=openai_error(400, "No connected db.", "no_db_connection", "400"),
    busy=openai_error(
        429, "litellm.RateLimitError: this is a mock rate limit error" + _NO_FALLBACK, "throttling_error", "429"
    ),
    entry=lambda window: {"owned_by": "openai", "mode": "chat", "max_input_tokens": window},
)
