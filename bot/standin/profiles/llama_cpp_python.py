"""llama-cpp-python's server.

It ignores stream_options, so nothing is counted, ends its lines with CRLF, and answers a context that is too long with
200 and a stream without one event: seen with its version of 2026. A wrong key is FastAPI's 401:
https://github.com/abetlen/llama-cpp-python/blob/main/llama_cpp/server/app.py.
"""

from bot.standin.profile import Profile, Stream, UsagePlace
from bot.standin.script import Raw, Refusal

PROFILE = Profile(
    title="llama-cpp-python",
    too_long=lambda sizes: Raw([]),
    stream=Stream(
        thought=lambda text: {"content": text},
        opens="<think>\n",
        closes="\n</think>\n\n",
        first={"role": "assistant"},
        usage=UsagePlace.NOWHERE,
        preface=b": ping - 2026-11-28 12:00:00.000000\r\n\r\n",
        line_end="\r\n",
    ),
    bad_key=Refusal(401, {"detail": "Invalid API key"}),
    busy=None,
)
