"""Reasoning in the text of a reply, wherever the text is divided."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model_events import Discard, Reasoning, Text
from bot.llm.reasoning import ReasoningFilter
from bot.standin.model import ModelStandin
from bot.standin.script import Raw
from tests.llm.conftest import ask, client
from tests.llm.wire import DONE, data, say


def filtered(pieces: Iterable[str]) -> str:
    """The reply that people read in the end."""
    reply, reasoning = "", ReasoningFilter()
    for events in (*map(reasoning.feed, pieces), reasoning.close()):
        for event in events:
            if isinstance(event, Discard):
                reply = ""
            elif isinstance(event, Text):
                assert event.text
                reply += event.text
            else:
                assert event == Reasoning()
    return reply


FENCED = "Write:\n```xml\n<think>\nhm\n</think>\n```\nDone."
ALTERED = [
    pytest.param("<think>hm</think>\n\nHi", "Hi", id="block"),
    pytest.param("\n <think>\nhm\n</think>Hi", "Hi", id="white space around"),
    pytest.param("<THINK>hm</Think>Hi", "Hi", id="any case"),
    pytest.param("<thinking>hm</thinking>Hi", "Hi", id="thinking"),
    pytest.param("<thought>\nhm\n</thought>\nHi", "Hi", id="thought"),
    pytest.param("<thoughts>hm</thoughts>Hi", "Hi", id="thoughts"),
    pytest.param("<reasoning>hm</reasoning>Hi", "Hi", id="reasoning"),
    pytest.param("<thinking>a<reflection>b</reflection>c</thinking>Hi", "Hi", id="reflection within"),
    pytest.param("<seed:think>hm</seed:think>Hi", "Hi", id="Seed"),
    pytest.param("[THINK]hm[/THINK]Hi", "Hi", id="Magistral"),
    pytest.param("◁think▷hm◁/think▷Hi", "Hi", id="Kimi"),
    pytest.param("<|channel>thought\nhm\n<channel|>Hi", "Hi", id="Gemma"),
    pytest.param("<|START_THINKING|>hm<|END_THINKING|>Hi", "Hi", id="Command A"),
    pytest.param("<|begin_of_thought|>hm<|end_of_thought|>\n\nHi", "Hi", id="OpenThinker"),
    pytest.param(
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
        "Hi",
        id="harmony",
    ),
    pytest.param(
        "<|start|>assistant<|channel|>analysis<|message|>a<|end|>"
        "<|start|>assistant<|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>"
        "<|start|>assistant<|channel|>final<|message|>Use `<|end|>`.\nIt < that.<|end|>",
        "Use `<|end|>`.\nIt < that.",
        id="harmony with a call",
    ),
    pytest.param("<|channel|>analysis<|message|>hm", "", id="harmony without an end"),
    pytest.param("<think>a</think>\n<think>b</think>Hi", "Hi", id="two blocks"),
    pytest.param("<think>a</think>\n</think>\nHi", "Hi", id="closed twice"),
    pytest.param("<think>a</think>One\n\n<think>b</think>\n\nTwo", "One\n\nTwo", id="block later"),
    pytest.param("One\n  <think>b\n\nc</think>Two", "One\n  Two", id="indented block later"),
    pytest.param(f"{FENCED}\n<think>b</think>Two", f"{FENCED}\nTwo", id="block behind code"),
    pytest.param("```a``` b\n<think>b</think>Two", "```a``` b\nTwo", id="block behind code within a line"),
    pytest.param("<think>hm, so", "", id="no end"),
    pytest.param("One\n<think>hm, so", "One\n", id="later block without an end"),
    pytest.param("<think>a </thinking> b</think>Hi", "Hi", id="another tag within"),
    pytest.param("<think>`</think>` ends it: `x`</think>Hi", "Hi", id="reasoning about the tag"),
    pytest.param("hm\n\nso\n</think>\n\nHi", "Hi", id="orphan"),
    pytest.param("hm\n</Thinking> \r\nHi", "Hi", id="orphan of another name"),
    pytest.param("hm\n[/THINK]\nHi", "Hi", id="Magistral's orphan"),
    pytest.param("</think>\n\nHi", "Hi", id="orphan at once"),
    pytest.param("hm\n</think>", "", id="orphan at the end"),
    pytest.param("hm\n</think>\nHi\n<think>b</think>you", "Hi\nyou", id="block behind an orphan"),
    pytest.param("hm\n</think>\nHi\n</think>\nyou", "Hi\n</think>\nyou", id="second orphan"),
    pytest.param(f"hm\n```\n</think>\n```\n</think>\n{FENCED}", FENCED, id="orphan behind code"),
]
KEPT = [
    "",
    "Hi",
    " \n Hi",
    "Use the <think> tag, and </think> behind it.",
    "Sure.<think>hm</think>Hi",
    "`<think>` is a tag\n`</think>` too",
    FENCED,
    FENCED.replace("```", "~~~~"),
    FENCED.replace("```", "````"),
    "Here: ```xml\n<think>\n```\nDone.",
    "> ```\n> a\n<think",
    "1.\n    <think>\n    hm\n    </think>",
    "One\n</think> is how it ends.",
    "One\n<thanks>\n<thinker>\n<think2>",
    "[Think](https://example.com)\n[think] again",
    "<think>a</think>".replace("<", "&lt;"),
    "a < b\n< c\n[d\n<th",
    "The end is `<|end|>` or <|end|>.",
    "<|start|>" + "x" * 300,
    "\n" * 300 + "Hi",
]
REPLIES = [*ALTERED, *(pytest.param(reply, reply, id=f"kept {number}") for number, reply in enumerate(KEPT))]


@pytest.mark.parametrize(("sent", "reply"), REPLIES)
def test_reasoning_is_removed_wherever_the_text_is_divided(sent: str, reply: str) -> None:
    assert filtered([sent]) == reply
    assert filtered(sent) == reply
    for cut in range(len(sent)):
        assert filtered([sent[:cut], sent[cut:]]) == reply
    for seed in range(20):
        rest, pieces, rand = sent, [], random.Random(seed)
        while rest:
            size = rand.randint(1, 9)
            pieces.append(rest[:size])
            rest = rest[size:]
        assert filtered(pieces) == reply


MARKS = ["<think>", "</think>", "[THINK]", "[/THINK]", "<|channel|>", "final", "<|message|>", "<|end|>", "<|start|>"]
PIECES = st.lists(st.sampled_from([*MARKS, "\n", " ", "```", "`", "~~~", "a", "<", "</", "\r\n", "    "]), max_size=20)


@given(PIECES, st.data())
def test_any_text_reads_the_same_however_it_is_divided(words: list[str], drawn: st.DataObject) -> None:
    sent = "".join(words)
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True) if start < end]
    assert filtered(pieces) == filtered([sent]) == filtered(sent)


@pytest.mark.parametrize("word", ["`", "<", "\n", "<think>", " ", "a\n<think", "</think>x", "<|channel|>", "[/THINK] "])
def test_cost_is_linear(word: str) -> None:
    """Counted in calls, which depend on no machine; what is held back, and so copied by a call, stays short."""

    def cost(length: int) -> int:
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        reasoning, text = ReasoningFilter(), word * (length // len(word))
        sys.setprofile(count)
        try:
            said = sum(len(event.text) for each in text for event in reasoning.feed(each) if isinstance(event, Text))
        finally:
            sys.setprofile(None)
        thought = word in ("<think>", "a\n<think") or word.startswith(("<|", "[/"))
        assert thought or length - said < 500
        return calls

    assert cost(40_000) < 11 * cost(4_000)


THOUGHT = {"type": "text", "text": "hm"}


@pytest.mark.parametrize(
    "thoughts",
    [
        data({"reasoning_content": "hm"}),
        data({"reasoning": "hm"}),
        data({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
        data({"thinking": "hm", "content": ""}),
        data({"role": "assistant", "content": None, "reasoning": "hm"}),
        say([{"type": "thinking", "thinking": [THOUGHT]}]),
        say([{"type": "thinking", "text": "hm"}]),
        say([[{"type": "thinking", "thinking": [[THOUGHT]]}], {"type": "redacted_thinking", "data": "hm"}]),
        say([{"type": "reasoning", "summary": [THOUGHT]}, {"type": "thinking", "thinking": "hm", "closed": True}]),
        say([{**THOUGHT, "thought": True}]),
        say("<think>") + say("hm") + say("</think>"),
        say([{"type": "text", "text": "<thi"}]) + say([{"type": "text", "text": "nk>hm</think>"}]),
    ],
)
async def test_reasoning_is_no_text_however_it_travels(server: ModelStandin, thoughts: bytes) -> None:
    server.script.append(Raw([thoughts + say([[{"type": "text", "text": "H"}], "i"]) + DONE]))
    async with client(server.base_url) as model:
        events = await ask(model)
    assert Reasoning() in events
    assert [event for event in events if isinstance(event, Text)] == [Text("H"), Text("i")]


async def test_text_before_an_orphan_is_discarded(server: ModelStandin) -> None:
    deltas = ["hm", ", so", "\n</thi", "nk>", "\n", "\nHi"]
    server.script.append(Raw([*map(say, deltas), DONE]))
    async with client(server.base_url) as model:
        events = await ask(model)
    assert events[:3] == [Text("hm"), Text(", so"), Text("\n")]
    assert [event for event in events[3:-1] if event != Reasoning()] == [Discard(), Text("Hi")]
