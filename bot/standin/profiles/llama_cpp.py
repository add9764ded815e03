"""llama.cpp's server.

Its refusals, its list of models, `/props` and the shape of its stream are as its build of October 2026 sent them
(PyPI: xllamacpp 2026.10.11549). It sends an orphan `</think>` where a chat template has written the opener and
`--reasoning-format none` is set: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import Refusal

PROFILE = Profile(
    title="llama.cpp",
    too_long=lambda sizes: Refusal(
        400,
        {
            "error": {
                "code": 400,
                "message": f"request ({sizes.prompt} tokens) exceeds the available context size ({sizes.window}"
                " tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": sizes.prompt,
                "n_ctx": sizes.window,
            }
        },
    ),
    stream=Stream(
        thought=lambda text: {"content": text},
        closes="\n</think>\n\n",
        first={"role": "assistant", "content": None},
        pending={"finish_reason": None},
    ),
    bad_key=Refusal(401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}),
    busy=None,
    loading=Refusal(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}),
    entry=lambda window: {"owned_by": "llamacpp", "meta": {"n_ctx": window, "n_ctx_train": 32768}},
    props=lambda window: {"default_generation_settings": {"n_ctx": window}, "total_slots": 1},
)
