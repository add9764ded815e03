"""Gemini's endpoint that is compatible with OpenAI's.

Its errors are lists; a wrong key is a 400: https://github.com/continuedev/continue/issues/10530. A context that is too
long: https://github.com/google-gemini/gemini-cli/issues/4692. Finish reasons may come in capitals, and thoughts in a
`<thought>` block: https://ai.google.dev/gemini-api/docs/openai.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import Refusal


def _refused(status: int, said: str, name: str, *details: object) -> Refusal:
    return Refusal(status, [{"error": {"code": status, "message": said, "status": name, "details": details}}])


PROFILE = Profile(
    title="Gemini",
    too_long=lambda sizes: _refused(
        400,
        f"The input token count ({sizes.prompt}) exceeds the maximum number of tokens allowed ({sizes.window}).",
        "INVALID_ARGUMENT",
    ),
    stream=Stream(
        thought=lambda text: {"content": text},
        opens="<thought>",
        closes="</thought>",
        first=None,
        each={"role": "assistant"},
        pending={},
        finishes={"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"},
    ),
    bad_key=_refused(
        400,
        "API key not valid. Please pass a valid API key.",
        "INVALID_ARGUMENT",
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
    ),
    busy=_refused(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
    entry=lambda window: {"owned_by": "google"},
)
