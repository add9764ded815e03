"""The built-in offline model, for trying the bot without a model server. It knows only the messages it is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from bot.config import DEFAULT_SYSTEM_PROMPT
from bot.core.context import SUMMARIES_BEGIN
from bot.core.model_events import End, Event, Message, Origin, Text
from bot.core.queues import Queues
from bot.core.summarizing import ASKED_FOR
from bot.core.titles import ASKED_FOR_TITLE
from bot.texts.memory import TOLD_TO_MODEL

NOTE = "(I'm the offline demo. For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env.)"
_TOKENS_PER_SECOND = 40.0
_ASKED_AS = "You are asked as the model "
_LINE = re.compile(r"^- (.+?)⟧?$", re.MULTILINE)
"""A line of a summary."""
_ASKS = re.compile(r"[?？]$|^(?:please|write|make|tell|give|show|say|repeat|explain|list|help)\b", re.IGNORECASE)
_ABOUT = re.compile(r"what did (?:i|we) (?:say|tell you|decide) (?:about|on) (?:the |my |our )?(.+)", re.IGNORECASE)
_NAMED = re.compile(r"\d|(?<=[^-.:] )[A-Z][a-z]|[^\x00-\x7f]")
"""A digit, a capital within a sentence, or a letter of another script, where no capital tells a name."""
_MOST_WORDS = 200
"""Words of a summary that is not limited."""
_BYTES_PER_WORD = 6
_SHOWN = 500
"""Characters of the system prompt that the demo repeats."""


DEMO_HEARS = "Hello! (The offline demo cannot hear. It takes every voice message for this.)"
"""The demo's words for each recording."""


class DemoModel:
    """A `ChatModel` without a network. `pause` waits for the given seconds before each token."""

    def __init__(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._pause = pause

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, model: str, reply_tokens: int, origin: Origin | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Stream the demo's whole reply at the pace of a quick model."""

        async def events() -> AsyncGenerator[Event]:
            for token in tokens(demo_reply(asked_as(model, messages))):
                await self._pause(1 / _TOKENS_PER_SECOND)
                yield Text(token)
            yield End()

        async with aclosing(events()) as reply:
            yield reply

    async def transcribe(self, audio: bytes, *, model: str) -> str:
        """What the demo hears, whatever was said."""
        return DEMO_HEARS

    async def slots(self, model: str) -> Queues | None:
        """No queue, for the demo answers any number at once."""
        return None

    async def longest_reply(self, model: str) -> int | None:
        """No length, for the demo allows any."""
        return None

    async def most_pictures(self, model: str) -> int | None:
        """No number, for the demo takes any."""
        return None


def asked_as(model: str, messages: Sequence[Message]) -> list[Message]:
    """The messages, and after them the name of the requested model, so that the demo can tell it."""
    return [*messages, Message("system", f"{_ASKED_AS}{model}")]


def tokens(text: str) -> list[str]:
    """The text in pieces of about a token. Joined, they are the text."""
    return re.findall(r"\s*\S{1,5}|\s+", text)


class Sized(Protocol):
    """Any picture with a size in pixels."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


class SentMessage(Protocol):
    """Any message with a role, a content and pictures."""

    @property
    def role(self) -> str: ...

    @property
    def content(self) -> str: ...

    @property
    def pictures(self) -> Sequence[Sized]: ...


def demo_reply(messages: Sequence[SentMessage]) -> str:
    """The demo's reply to the last message. It depends on the messages and on nothing else.

    The first reply of a conversation ends with a note that says how to get a real model.
    """
    users = [message.content for message in messages if message.role == "user"]
    if users and ASKED_FOR in users[-1]:
        return _summary(users)
    if users and ASKED_FOR_TITLE in users[-1]:
        return _title(_said(users[0]))
    told = [message.content for message in messages if message.role == "system"]
    model = next((text.removeprefix(_ASKED_AS) for text in reversed(told) if text.startswith(_ASKED_AS)), None)
    system = told[0] if told else ""
    asked = [each for each in messages if each.role == "user" and not each.content.startswith(SUMMARIES_BEGIN)]
    summarized = [line for text in users if text.startswith(SUMMARIES_BEGIN) for line in _LINE.findall(text)]
    users = [message.content for message in asked] or [""]
    *earlier, prompt = map(_said, users)
    shown = [[*_shown(message)] for message in asked]
    if any(shown) and (shown[-1] or _ABOUT_SHOWN.search(prompt)):
        answer = f"I was shown {', '.join(each for pictures in shown for each in pictures)}."
    else:
        answer = _answer(prompt.strip(), earlier, system, model, users[-1], summarized)
    return answer if earlier else f"{answer}\n\n{NOTE}"


_ABOUT_SHOWN = re.compile(r"\b(picture|image|photo|screenshot|file|see|show(n|ed)?)s?\b", re.IGNORECASE)
_FILE = re.compile(r"^(?:> )?⟦file: ([^⟦⟧\n]*)⟧\n(.*?)\n(?:> )?⟦end of file⟧$\n?", re.MULTILINE | re.DOTALL)
_OF_A_FILE = re.compile(r"\n?^⟦[^⟧\n]*⟧$", re.MULTILINE)
"""A line that says what else was sent, or where a voice message ends."""
_PAGE = re.compile(r"\[page \d+\]$")
_FIRST_LINE = 60
"""Characters of a file's first line that the demo repeats."""


def _shown(message: SentMessage) -> Iterator[str]:
    """The names and the sizes of what is shown in a message: its files, and those pictures that are sent with it."""
    for name, text in _FILE.findall(message.content):
        lines = text.strip().splitlines() or [""]
        first = next((line for line in lines if line and not _PAGE.match(line)), "")
        first = first if len(first) <= _FIRST_LINE else f"{first[:_FIRST_LINE]}…"
        yield f"{name} ({len(lines)} line{'s' if len(lines) > 1 else ''}, the first “{first}”)"
    unsent = re.findall(
        r"⟦(?:The picture|You cannot see the picture|There is no room for the picture) .*", message.content
    )
    named = re.findall(r"⟦picture: ([^⟧]+?)(?:, described as “[^⟧]*)?⟧", message.content)
    names = [name for name in named if not any(f" picture {name}" in note for note in unsent)]
    for name, picture in zip(names, message.pictures, strict=False):
        yield f"{name} ({picture.width} × {picture.height})"


_TITLE_WORDS = 6


def _title(asked: str) -> str:
    """A title from the words of a question."""
    words = re.findall(r"[^\W_][\w'’-]*", asked)
    return f"About “{' '.join(words[:_TITLE_WORDS])}”" if words else "A conversation"


def _summary(users: Sequence[str]) -> str:
    """The summary that a request's last message asks for, as far as its words suffice.

    Of each message it has the first sentence, unless that asks for something; of summaries it has their lines. Lines
    with names or numbers come first, and then the latest.
    """
    *messages, asked = users
    lines = [f"- {line}" for line in _LINE.findall(asked.partition(ASKED_FOR)[0])]
    for message in messages:
        speaker = re.match(r"\[([^\n\]()]+)", message)
        sentence = re.match(r".+?(?:[.!?。！？…](?=\s|$)|$)", _said(message).strip())
        if sentence and not _ASKS.search(sentence[0]):
            lines.append(f"- {speaker[1].strip()}: {sentence[0]}" if speaker else f"- {sentence[0]}")
    limit = re.search(r"at most (\d+) words", asked)
    left = int(limit[1]) if limit else _MOST_WORDS
    kept: list[int] = []
    for place, line in sorted(enumerate(lines), key=lambda each: (bool(_NAMED.search(each[1])), each[0]), reverse=True):
        if (words := _words(line)) <= left:
            left -= words
            kept.append(place)
    return "\n".join(lines[place] for place in sorted(kept)) or "- Nothing was told, only asked."


def _words(line: str) -> int:
    """The words of a line, and where these are not separated as many as make up their length."""
    return max(len(line.split()), len(line.encode()) // _BYTES_PER_WORD)


_TOLD = r"⟦[^⟧]+⟧\n(?:>[^\n]*\n)*\n?"
_NOTES = r"⟦Notes by ([^⟧]+)⟧\n"
_SPEAKER = r"\[[^\n\]]+\][ \t]*\n"


def _said(content: str) -> str:
    """A message without what the platform adds: its speaker, as in `[Anna (@anna)]`, date, notes, quotes and files.

    Where nothing was typed, it has what is said of its files.
    """
    typed = re.sub(rf"\A(?:{_SPEAKER})?(?:{_TOLD})*", "", _FILE.sub("", content).rstrip("\n"))
    return _OF_A_FILE.sub("", typed) or typed


def _answer(
    prompt: str, earlier: Sequence[str], system: str, model: str | None, message: str, summarized: Sequence[str]
) -> str:
    """The reply to a prompt, which stands in this message. `summarized` are the lines of summaries."""
    notes = [note for told in re.findall(_NOTES, message) for note in re.findall(r"^- (.+)", told, re.MULTILINE)]
    asked = prompt.lower().strip(" .!?")
    if asked in _PIECES:
        return _PIECES[asked]
    if repeat := re.match(r"(?:repeat|say|echo)[:,]?\s+(.+)", prompt, re.IGNORECASE | re.DOTALL):
        return repeat[1]
    if about := _ABOUT.search(asked):
        known = (text for text in (*summarized, *earlier) if not _ASKS.search(text) and not _ABOUT.search(text))
        found = [text for text in known if about[1] in text.lower()]
        return f"This is what I know of it: “{found[-1]}”" if found else "I know nothing about it."
    if re.search(r"what did i (say|ask|tell you|write) first|my first (message|question)", asked):
        return f"The first thing you said: “{earlier[0]}”" if earlier else "Nothing yet. This is your first message."
    if re.search(r"what did i (just )?(say|ask|tell you|write)|my last (message|question)", asked):
        return f"Just before this you said: “{earlier[-1]}”" if earlier else "Nothing yet. This is your first message."
    if re.search(r"(what is|what's|do you know|remember) my name|who am i", asked):
        name = next(filter(None, map(_name, reversed([*summarized, *earlier, *notes]))), None)
        return f"You are {name}." if name else "You haven't told me yet. Try: my name is Ada."
    if re.search(r"(who|what|which model) are you|who am i talking to|what were you told|your persona", asked):
        return _introduction(system, model)
    if re.search(r"(know|told) about me|my notes?", asked):
        return f"Your notes say: {'; '.join(notes)}" if notes else "You have no notes. /memory adds one."
    if re.search(r"how many|what do you remember|do you remember", asked):
        older = f", and {len(summarized)} lines of summaries" if summarized else ""
        return f"I remember {_count(len(earlier))} before this one{older}."
    if name := _name(prompt):
        return f"Nice to meet you, {name}! Ask me later what your name is."
    if re.search(r"\b(date|day|time|today)\b", asked):
        date = re.search(r"⟦Today is (?:\w+, )?([^⟧]+)\.⟧", message)
        return f"As far as I was told, it is {date[1]}." if date else "Nobody told me. I have no clock of my own."
    if re.match(r"(hi|hello|hey|hallo|good (morning|evening|day))\b", asked):
        return "Hello! Say “help” to see what I can do."
    if re.search(r"\b(thanks|thank you)\b", asked):
        return "You're welcome!"
    said = f"You said: “{prompt}”." if prompt else "You said nothing."
    before = f"I remember {_count(len(earlier))} before it." if earlier else "It is the first thing you have said."
    return f"{said} {before} Say “help” to see what I can do."


def _introduction(system: str, model: str | None) -> str:
    # What stands behind the prompt is the bot's.
    told = re.split(rf"\n\n(?:Several people talk here\.|{re.escape(TOLD_TO_MODEL)})", system)[0].strip()
    shown = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
    special = told not in ("", DEFAULT_SYSTEM_PROMPT)
    who = f"I was told: “{shown}”" if special else "I'm a demo, and was told nothing special."
    return who if model is None else f"{who}\n\nI was asked as the model `{model}`."


def _name(text: str) -> str | None:
    told = re.search(r"(?i:\b(?:my name is|i am called|call me))\s+(\w[\w'-]*(?: [A-Z][\w'-]*)?)", text)
    return told[1] if told else None


def _count(messages: int) -> str:
    return f"{messages} message{'' if messages == 1 else 's'} of yours"


_HELP = """I can't think, but I can show you how this chat works:

- **my name is Ada**, and later **what is my name?**
- **what did I say first?** or **what did I just say?**
- **how many messages do you remember?**
- **what did I say about tea?**, also long afterwards
- **what do you know about me?**, after you add a note with `/memory`
- **who are you?**, also after `/persona` or `/model`
- a **picture**, a **PDF** or a **text file** with your message
- **repeat** and any text
- **list**, **table**, **code**, **math**, **emoji**, **cjk**
- **long code** for eighty lines, **long** for an essay
- **/reset**, and I have forgotten all of it"""

_CODE = """```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```"""

_LIST = """Tea for two:

1. Boil the water.
2. Warm the pot.
   - A glass one will do.
   - So will a mug.
3. Wait four minutes.
4. Pour, and *share*."""

_TABLE = """| Planet | Moons | Year in days |
|:-------|------:|-------------:|
| Mercury | 0 | 88 |
| Venus | 0 | 225 |
| Earth | 1 | 365 |
| Mars | 2 | 687 |"""

_MATH = r"""The first $n$ numbers together:

$$\sum_{k=1}^{n} k = \frac{n(n+1)}{2}$$

And for every $\alpha \in \mathbb{R}$: $\sin^2 \alpha + \cos^2 \alpha = 1$."""

_EMOJI = (
    "A family 👨‍👩‍👧‍👦, a flag 🇳🇴, a wave 👋🏽, a rainbow flag 🏳️‍🌈 and a heart ❤️: each is one character to the eye."
)

_CJK = "日本語:吾輩は猫である。名前はまだ無い。\n中文:学而时习之,不亦说乎?\n한국어: 나랏말싸미 듕귁에 달아."


def _long_code() -> str:
    lines = ["def fizz_buzz(n: int) -> str:"]
    for number in range(1, 40):
        word = "Fizz" * (number % 3 == 0) + "Buzz" * (number % 5 == 0) or str(number)
        lines += [f"    if n == {number}:", f'        return "{word}"']
    lines.append("    raise ValueError(n)")
    return "\n".join(["```python", *lines, "```"])


def _long() -> str:
    sentences = (
        "A conversation is a loop of turns, and each turn leaves something behind for the next.",
        "What is remembered is only what is sent again, so a good memory is mostly good housekeeping.",
        "A reply that streams feels quicker than one that waits, although both end at the same moment.",
        "Text that is cut in the right place reads as if it had never been cut at all.",
    )
    sections = []
    for number in range(1, 17):
        turned = sentences[number % 4 :] + sentences[: number % 4]
        sections.append(f"## Part {number}\n\n{' '.join(turned)}")
        if number % 4 == 0:
            sections.append(_CODE)
    return "\n\n".join(["# On conversations", *sections, "That was all of it."])


_PIECES = {
    "help": _HELP,
    "code": _CODE,
    "long code": _long_code(),
    "list": _LIST,
    "table": _TABLE,
    "math": _MATH,
    "emoji": _EMOJI,
    "cjk": _CJK,
    "long": _long(),
}
