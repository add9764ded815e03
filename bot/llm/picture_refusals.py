"""What a model server's refusal says of pictures: that the model cannot see, or how many a request may have. Pure."""

from __future__ import annotations

import re

_LONGEST_REFUSAL = 4_000
"""Characters of a refusal that are searched. No server's message is longer."""
_PICTURES = (
    r"\b(?:image|vision|visual|picture|multi-?modal)(?:_url)?s?\b(?! ?(?:format|size|dimension|resolution|file|ext))"
)
_OF_A_KIND = (
    r"(?: (?:(?:and|or) (?:audio|video|document|file)|input|content|data|understanding|support|modality|modalities|part"
    r"|type|message|url)s?){0,3}"
)
_TAKEN = r"(?:supported|enabled|available|allowed|accepted)"
# Wordings of OpenAI, Azure, OpenRouter, Ollama, llama.cpp, LM Studio, vLLM, Groq, DeepSeek, Mistral, Gemini, Fireworks,
# DashScope, Volcano Engine, Xiaomi, and of servers on FastAPI or on Rust's serde.
_UNSEEING = re.compile(
    "|".join(
        (
            rf"\b(?:not|n't|cannot|no endpoints found that) (?:support|accept|take)\w*(?: \w+)? {_PICTURES}",
            rf"{_PICTURES}{_OF_A_KIND} (?:is|are|was|were) (?:currently )?(?:not |un){_TAKEN}(?! format)",
            rf"{_PICTURES}{_OF_A_KIND} (?:is|are) only supported (?:by|for|in|with) ",
            r"\bnot an? (?:multi-?modal|vision)(?:[- ]language)? model",
            rf"unsupported content (?:part )?type[^.;]{{0,40}}{_PICTURES}",
            rf"unknown variant\W{{1,6}}{_PICTURES}",
            r"untagged enum chatcompletionrequestcontent",
            r"content\W{1,6}(?:value )?must be a string|invalid type: sequence, expected a string",
            r"unexpected item type in content|input should be \W{0,3}text\b|text-only (?:model|server)",
            r"len\(image_ranges\) = 0",
        )
    )
)
_MOST = re.compile(
    r"(?:at most|up to|maximum(?: number)? of|limit (?:is|of)|maximum is) (\d{1,3}) (?:image|picture)"
    r"|(?:image|picture)s?(?: limit| maximum)? (?:is|of|per (?:prompt|request|message) is) (\d{1,3})\b"
)
_ABOUT_PICTURES = re.compile(
    r"\b(?:image|vision|visual|picture|multi-?modal|base64|media.?type)|\bcontent(?!-type).{0,20}\btype"
)


def most_pictures(refusal: str) -> int | None:
    """The most pictures that a request may have, as far as its refusal says: 0 if the model cannot see.

    None: it says nothing of the kind. What it says of one picture, such as its format, holds for no other.
    """
    said = refusal[:_LONGEST_REFUSAL].lower()
    if named := _MOST.search(said):
        return int(named[1] or named[2])
    return 0 if _UNSEEING.search(said) else None


def is_about_pictures(refusal: str) -> bool:
    """Whether a refusal mentions pictures, so that the same request may be taken without them."""
    return _ABOUT_PICTURES.search(refusal[:_LONGEST_REFUSAL].lower()) is not None
