"""Hugging Face's Text Generation Inference.

An error comes within a stream of status 200: https://github.com/huggingface/text-generation-inference/issues/2749. Its
words: https://github.com/huggingface/huggingface_hub/pull/2558 and
https://github.com/meta-llama/llama/issues/1103. Models think in the text of the reply.
"""

import json

from bot.standin.profile import Profile, Sizes, Stream
from bot.standin.script import Raw, Refusal


def _too_long(sizes: Sizes) -> Raw:
    said = (
        f"Input validation error: `inputs` must have less than {sizes.window} tokens. Given: {sizes.prompt}"
        if sizes.prompt >= sizes.window
        else f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {sizes.window}. Given:"
        f" {sizes.prompt} `inputs` tokens and {sizes.reply} `max_new_tokens`"
    )
    return Raw([f"data:{json.dumps({'error': said, 'error_type': 'validation'})}\n\n".encode()])


PROFILE = Profile(
    title="TGI",
    too_long=_too_long,
    allowance_counts=True,
    stream=Stream(
        thought=lambda text: {"content": text},
        opens="<think>\n",
        closes="\n</think>\n\n",
        first=None,
        each={"role": "assistant"},
        prefix="data:",
    ),
    bad_key=None,
    busy=Refusal(429, {"error": "Model is overloaded", "error_type": "overloaded"}),
)
