"""Mistral's API.

It refuses parameters that it does not know, with 422: https://github.com/editor-code-assistant/eca/issues/231.
Reasoning is a list in `content`: https://docs.mistral.ai/capabilities/reasoning/. A full window has a finish reason of
its own: https://docs.mistral.ai/api/.
"""

from bot.standin.profile import Profile, Stream, UsagePlace, refuse
from bot.standin.script import Refusal


def _unknown(name: str) -> Refusal:
    detail = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": None}
    return _refused(422, {"detail": [detail]}, "invalid_request_error", None)


def _refused(status: int, said: object, type_: str, code: str | None) -> Refusal:
    return Refusal(status, {"object": "error", "message": said, "type": type_, "param": None, "code": code})


PROFILE = Profile(
    title="Mistral",
    refuses={name: refuse(_unknown(name)) for name in ("stream_options", "max_completion_tokens")},
    too_long=lambda sizes: _refused(
        400,
        f"Prompt contains {sizes.prompt} tokens and 0 draft tokens, too large for model with {sizes.window} maximum"
        " context length",
        "invalid_request_prompt",
        "3051",
    ),
    stream=Stream(
        thought=lambda text: {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]},
        pending={"finish_reason": None},
        finishes={"window": "model_length"},
        usage=UsagePlace.FINISH,
    ),
    bad_key=Refusal(401, {"detail": "Unauthorized"}),
    busy=_refused(429, "Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
    entry=lambda window: {"owned_by": "mistralai", "max_context_length": window},
)
