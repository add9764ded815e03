"""vLLM.

The prompt and the longest reply that a request allows have to fit the window together, else the request is refused:
https://github.com/vllm-project/vllm/issues/42474. A prompt that is too long by itself:
https://github.com/vllm-project/vllm/issues/33418. Reasoning travels in `reasoning`:
https://docs.vllm.ai/en/latest/features/reasoning_outputs.html.
"""

from bot.standin.profile import Profile, Sizes, Stream
from bot.standin.script import Refusal


def _too_long(sizes: Sizes) -> Refusal:
    if sizes.prompt >= sizes.window:
        said = (
            f"This model's maximum context length is {sizes.window} tokens. However, your request has {sizes.prompt}"
            " input tokens. Please reduce the length of the input messages."
            f" (parameter=input_tokens, value={sizes.prompt})"
        )
    else:
        said = (
            f"This model's maximum context length is {sizes.window} tokens. However, you requested {sizes.reply} output"
            f" tokens and your prompt contains at least {sizes.window - sizes.reply + 1} input tokens, for a total of"
            f" at least {sizes.window + 1} tokens. Please reduce the length of the input prompt or the number of"
            " requested output tokens."
        )
    return Refusal(400, {"error": {"message": said, "type": "BadRequestError", "param": "input_tokens", "code": 400}})


PROFILE = Profile(
    title="vLLM",
    too_long=_too_long,
    allowance_counts=True,
    stream=Stream(thought=lambda text: {"reasoning": text}),
    bad_key=Refusal(401, {"error": "Unauthorized"}),
    busy=None,
    entry=lambda window: {"owned_by": "vllm", "max_model_len": window},
)
