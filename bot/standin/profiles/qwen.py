"""Alibaba's Model Studio (Qwen), in its compatible mode.

A context that is too long: https://github.com/agentscope-ai/QwenPaw/issues/6255. Without credit it answers 400 with
code Arrearage: https://github.com/QwenLM/qwen-code/issues/54. All codes:
https://help.aliyun.com/zh/model-studio/error-code.
"""

from bot.standin.profile import Profile, Stream
from bot.standin.script import openai_error

PROFILE = Profile(
    title="Qwen",
    too_long=lambda sizes: openai_error(
        400,
        f"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, {sizes.window}]",
        "invalid_request_error",
        "invalid_parameter_error",
    ),
    stream=Stream(
        thought=lambda text: {"content": None, "reasoning_content": text},
        first={"role": "assistant", "content": None, "reasoning_content": ""},
    ),
    bad_key=openai_error(401, "Incorrect API key provided. ", "invalid_request_error", "invalid_api_key"),
    no_credit=openai_error(
        400, "Access denied, please make sure your account is in good standing.", "Arrearage", "Arrearage"
    ),
    busy=openai_error(429, "Requests rate limit exceeded, please try again later.", "limit_requests", "limit_requests"),
)
