from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import DEFAULT_SYSTEM_PROMPT
from bot.core.model_events import End, Message, Text
from bot.llm.demo import NOTE, DemoModel, asked_as, demo_reply, tokens


def talk(*prompts: str, system: str = "Be brief.") -> str:
    """The reply to the last prompt, after a conversation with the others, without its closing note."""
    messages = [Message("system", system)]
    for prompt in prompts[:-1]:
        earlier = [*messages, Message("user", prompt)]
        messages = [*earlier, Message("assistant", demo_reply(earlier))]
    reply = demo_reply([*messages, Message("user", prompts[-1])])
    note = "\n\n" + NOTE
    assert reply.endswith(note) == (len(prompts) == 1), "the note is in the first reply only"
    return reply.removesuffix(note)


@pytest.mark.parametrize(
    ("prompts", "reply"),
    [
        (["Hi!"], "Hello! Say “help” to see what I can do."),
        (["I like tea.", "Do you?", "What did I say first?"], "The first thing you said: “I like tea.”"),
        (["I like tea.", "Do you?", "what did I just say?"], "Just before this you said: “Do you?”"),
        (["What did I say first?"], "Nothing yet. This is your first message."),
        (["My name is Ada Lovelace and I count.", "Hm.", "What is my name?"], "You are Ada Lovelace."),
        (["My name is Ada.", "Call me Grace.", "what's my name"], "You are Grace."),
        (["What is my name?"], "You haven't told me yet. Try: my name is Ada."),
        (
            ["[Anna (@anna)]\nI like tea.", "[Bob (@bob)]\nWhat did I say first?"],
            "The first thing you said: “I like tea.”",
        ),
        (["[Anna (@anna)]\n⟦In reply to you:⟧\n> Hello!\n> \n> Well?\n\nThanks!"], "You're welcome!"),
        (["[Anna (@anna)]\n⟦They are replying to a message that is gone.⟧\n\nThanks!"], "You're welcome!"),
        (["⟦In reply to Bo (@bo):⟧\n> > tea?\n\nrepeat > tea"], "> tea"),
        (["⟦Notes by me:\n- call me Kim\n- vegan⟧\nWhat is my name?"], "You are Kim."),
        (
            ["[Bo (@bo)]\n⟦Notes by me:\n- vegan\n- tall⟧\n⟦In reply to you:⟧\n> Hm.\n\nWhat do you know about me?"],
            "Your notes say: vegan; tall",
        ),
        (
            [
                "My tea is Assam.",
                "What did I say about tea?",
                "what did we decide on the tea",
                "What did I say about tea?",
            ],
            "This is what I know of it: “My tea is Assam.”",
        ),
        (["Is there tea?", "What did I say about tea?"], "I know nothing about it."),
        (
            ["[Anna (@anna)]\nWhat is it?\n⟦file: a.log⟧\nERROR 1\nERROR 2\n⟦end of file⟧"],
            "I was shown a.log (2 lines, the first “ERROR 1”).",
        ),
        (
            [f"Look!\n⟦file: a.log⟧\n{'x' * 61}\n⟦end of file⟧", "Hm.", "What was in the file?"],
            f"I was shown a.log (1 line, the first “{'x' * 60}…”).",
        ),
        (["Look!\n⟦file: a.log⟧\nx\n⟦end of file⟧", "What did I say first?"], "The first thing you said: “Look!”"),
        (
            ["⟦file: a.pdf⟧\n[page 1]\nInvoice 7\n\n[page 2]\nThanks\n⟦end of file⟧"],
            "I was shown a.pdf (5 lines, the first “Invoice 7”).",
        ),
        (
            ["Look!\n⟦picture: a.png⟧\n⟦attached, but not read: a.pdf⟧", "What did I say first?"],
            "The first thing you said: “Look!”",
        ),
        (["⟦picture: a.png⟧", "What did I say first?"], "The first thing you said: “⟦picture: a.png⟧”"),
        (["What do you know about me?"], "You have no notes. /memory adds one."),
        (["One.", "Two.", "How many messages do you remember?"], "I remember 2 messages of yours before this one."),
        (["Say: [ok]\n*there*"], "[ok]\n*there*"),
        (["Thank you!"], "You're welcome!"),
        (["Who are you?"], "I was told: “Be brief.”"),
        (["What day is it?"], "Nobody told me. I have no clock of my own."),
        (
            ["One.", "Two."],
            "You said: “Two.”. I remember 1 message of yours before it. Say “help” to see what I can do.",
        ),
    ],
)
def test_demo_remembers_its_context(prompts: list[str], reply: str) -> None:
    assert talk(*prompts) == reply


def test_demo_reads_the_date_in_the_question() -> None:
    asked = "⟦Today is Monday, 2 June 2031.⟧\n⟦In reply to you:⟧\n> Hm.\n\nWhat's the date today?"
    for speaker in ("", "[Anna (@anna)]\n"):
        assert talk(speaker + asked) == "As far as I was told, it is 2 June 2031."


def test_demo_names_its_persona_and_model() -> None:
    more = "\n\nSeveral people talk here."
    assert talk("who are you?", system=f"You are a pirate.{more}") == "I was told: “You are a pirate.”"
    assert talk("Who are you?", system=DEFAULT_SYSTEM_PROMPT + more) == "I'm a demo, and was told nothing special."
    asked = asked_as("demo-twin", [Message("system", f"You are a pirate.{more}"), Message("user", "who are you?")])
    assert "asked as the model `demo-twin`." in demo_reply(asked)


def test_demo_shows_every_kind_of_text() -> None:
    assert re.findall(r"\*\*(list|table|code|emoji|cjk|long|long code)\*\*", talk("Help!"))
    code = talk("long code")
    assert code.startswith("```python\n")
    assert code.endswith("\n```")
    assert 80 <= code.count("\n") <= 90
    compile(code.removeprefix("```python").removesuffix("```"), "demo", "exec")
    long = talk("long")
    assert 5500 <= len(long) <= 6500
    assert long.count("```") % 2 == 0
    for word in ("table", "list", "cjk", "emoji", "code"):
        assert not talk(word).startswith("You said")


async def test_demo_streams_at_a_pace_and_ends() -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    prompt = [Message("user", "long")]
    async with DemoModel(pause).stream(prompt, model="demo", reply_tokens=100) as events:
        streamed = [event async for event in events]
    assert "".join(event.text for event in streamed if isinstance(event, Text)) == demo_reply(prompt)
    assert streamed[-1] == End()
    assert pauses == [1 / 40] * (len(streamed) - 1)


@given(st.text())
def test_tokens_lose_no_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    assert all(tokens(text))
