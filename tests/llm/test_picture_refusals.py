"""What model servers answer where a model cannot see, word for word, and what they answer about a single picture."""

from __future__ import annotations

import pytest

from bot.llm.picture_refusals import is_about_pictures, most_pictures

UNSEEING = {
    "openai": "Invalid content type. image_url is only supported by certain models.",
    "openrouter": "No endpoints found that support image input",
    "ollama cloud": "this model does not support image input (ref: b8bd630e-4a39-4b57-82af-9158ee9d5703)",
    "llama.cpp": "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    "llama.cpp, earlier": "image input is not supported by this server",
    "llama.cpp, first": 'Failed to parse messages: Unsupported content part type: \\"image_url\\"; messages = [',
    "lm studio": "Model does not support images. Please use a model that does.",
    "vllm": "facebook/opt-125m is not a multimodal model None",
    "vllm, limited": "At most 0 image(s) may be provided in one prompt.",
    "groq": "message[0].content must be a string",
    "groq, later": "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content' : value must"
    " be a string)]",
    "deepseek": "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant `image_url`,"
    " expected `text` at line 1 column 679289",
    "deepseek, earlier": "Failed to deserialize the JSON body into the target type: messages[2]: invalid type:"
    " sequence, expected a string at line 1 column 2901",
    "deepseek, before": "Failed to deserialize the JSON body into the target type: messages[0]: data did not match any"
    " variant of untagged enum ChatCompletionRequestContent at line 1 column 286017",
    "mistral": "Image input is not enabled for this model",
    "gemini": "Image input modality is not enabled for models/gemma-3-1b-it",
    "fireworks": "Cannot preprocess image len(combined_imgs) = 1, len(image_ranges) = 0, please provide valid images",
    "dashscope": "<400> InternalError.Algo.InvalidParameter: The provided messages input is invalid. The error info is"
    " [Unexpected item type in content.]",
    "volcano": "Model do not support image input.",
    "text only": "Unsupported content part type for text-only server: image_url",
    "fastapi": '{"loc":"body -> messages -> 0 -> content","msg":"Input should be \'text\'","type":"literal_error"}',
    "litellm, of scaledown": "ScaleDown currently supports text only. Image and document inputs are not supported.",
    "litellm, of llama.cpp": 'litellm.InternalServerError: InternalServerError: Hosted_vllmException - {"error":'
    '{"code":500,"message":"image input is not supported - hint: if this is unexpected, you may need to provide the'
    ' mmproj","type":"server_error"}}\n\nLiteLLM: model group \'llama\' failed with the error above. No fallback was'
    " attempted.",
    "anthropic, compatible": "litellm.BadRequestError: the model claude-2 does not support image content",
}
"""From the issue threads of the servers and of programs that use them."""
OF_ONE_PICTURE = (
    "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg'].",
    "Could not process image",
    "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
    "This model does not support image format webp",
    "Invalid image data: the image size is not supported",
    "Failed to load image: cannot identify image file",
)


@pytest.mark.parametrize("said", UNSEEING.values(), ids=list(UNSEEING))
def test_model_that_cannot_see_is_recognized(said: str) -> None:
    assert most_pictures(said) == 0


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("At most 1 image(s) may be provided in one prompt.", 1),
        ("Too many images provided. This model supports up to 5 images", 5),
        ("You can include at most 500 images in a request", 500),
    ],
)
def test_number_of_pictures_is_read(said: str, most: int) -> None:
    assert most_pictures(said) == most


@pytest.mark.parametrize("said", OF_ONE_PICTURE)
def test_refusal_of_one_picture_says_nothing_of_others(said: str) -> None:
    assert most_pictures(said) is None
    assert is_about_pictures(said)


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "This model's maximum context length is 4096 tokens.",
        "Unknown variant `developer`, expected one of `system`, `user`",
        "The model `gpt-9` does not exist",
        "The deployment is not provisioned.",
        "Unknown revision of the model.",
        "Content-Type must be application/json.",
    ],
)
def test_other_refusals_are_not_about_pictures(said: str) -> None:
    assert most_pictures(said) is None
    assert not is_about_pictures(said)
