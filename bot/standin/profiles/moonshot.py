"""Moonshot's API (Kimi).

It counts in `choices[0].usage`. A context that is too long: https://github.com/MoonshotAI/kimi-cli/issues/2011; the
longest reply that a request allows counts too: https://github.com/MoonshotAI/MoonshotAI-Cookbook/issues/18. Without
credit it answers 429: https://github.com/anomalyco/opencode/issues/24462. Errors:
https://www.kimi.com/help/kimi-api/api-error-codes.
"""

from bot.standin.profile import Profile, Stream, UsagePlace
from bot.standin.script import Refusal


def _refused(status: int, said: str, type_: str) -> Refusal:
    return Refusal(status, {"error": {"message": said, "type": type_}})


PROFILE = Profile(
    title="Moonshot",
    too_long=lambda sizes: _refused(
        400,
        f"Invalid request: Your request exceeded model token limit: {sizes.window} (requested: {sizes.total})",
        "invalid_request_error",
    ),
    allowance_counts=True,
    stream=Stream(usage=UsagePlace.CHOICE, pending={"finish_reason": None}),
    bad_key=_refused(401, "Invalid Authentication", "invalid_authentication_error"),
    no_credit=_refused(
        429,
        "Your account org-1 <ak-1> is suspended due to insufficient balance, please recharge your account or check your"
        " plan and billing details",
        "exceeded_current_quota_error",
    ),
    busy=_refused(429, "The engine is currently overloaded, please try again later", "engine_overloaded_error"),
    entry=lambda window: {"owned_by": "moonshot", "context_length": window},
)
