"""Zhipu's API (GLM, Z.ai).

A context that is too long: https://github.com/zeroclaw-labs/zeroclaw/issues/4124. Without credit it answers 429 with
code 1113: https://github.com/zhayujie/CowAgent/issues/2910. Busy is 1302:
https://github.com/anomalyco/opencode/issues/9789. All codes: https://docs.bigmodel.cn/cn/api/api-code.
"""

from bot.standin.profile import Profile, Stream, UsagePlace
from bot.standin.script import Refusal


def _refused(status: int, code: str, said: str) -> Refusal:
    return Refusal(status, {"error": {"code": code, "message": said}})


PROFILE = Profile(
    title="Zhipu",
    too_long=lambda sizes: _refused(400, "1261", "Prompt 超长"),
    stream=Stream(first=None, each={"role": "assistant"}, pending={}, usage=UsagePlace.FINISH),
    bad_key=_refused(401, "1002", "Authorization Token非法，请确认Authorization Token正确传递。"),
    no_credit=_refused(429, "1113", "余额不足或无可用资源包,请充值。"),
    busy=_refused(429, "1302", "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。"),
)
