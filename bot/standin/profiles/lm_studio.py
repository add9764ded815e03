"""LM Studio.

A context that is too long: https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/237 and
https://github.com/dyad-sh/dyad/issues/925. Some models think in the text of the reply, unless the setting that
separates `reasoning_content` is on: https://lmstudio.ai/docs/developer.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import Refusal

PROFILE = Profile(
    title="LM Studio",
    too_long=lambda sizes: Refusal(
        400,
        {
            "error": f"Trying to keep the first {sizes.prompt} tokens when context the overflows. However, the model is"
            f" loaded with context length of only {sizes.window} tokens, which is not enough. Try to load the model"
            " with a larger context length, or provide a shorter input"
        },
    ),
    stream=Stream(thought=lambda text: {"content": text}, opens="<think>\n", closes="\n</think>\n\n"),
    bad_key=None,
    busy=None,
)
