"""Ollama, at /v1.

A context over the window (4,096 tokens unless OLLAMA_CONTEXT_LENGTH says more) is cut without a word; only the counted
prompt tells. Reasoning travels in `reasoning`: https://docs.ollama.com/api/openai-compatibility. A full queue is
answered with 503: https://docs.ollama.com/faq. The shape of an error:
https://github.com/netease-youdao/QAnything/issues/555.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import openai_error

PROFILE = Profile(
    title="Ollama",
    too_long=None,
    stream=Stream(
        thought=lambda text: {"content": "", "reasoning": text},
        first=None,
        each={"role": "assistant"},
        pending={"finish_reason": None},
    ),
    bad_key=None,
    busy=openai_error(503, "server busy, please try again.  maximum pending requests exceeded", "api_error", None),
    entry=lambda window: {"owned_by": "library"},
)
