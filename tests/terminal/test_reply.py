"""A reply that lets one wait."""

from __future__ import annotations

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.terminal.processes import Terminal, needs_pty, pipe, stored


@needs_pty
async def test_silent_model_can_be_stopped(environ: dict[str, str], model: ModelStandin) -> None:
    environ["OPENAI_MODEL"] = "slow"
    model.script += [Reply("Never.", first_token_after=60), Reply("At once.")]
    async with Terminal.open(environ, "--conversation", "tea") as terminal:
        assert await terminal.until("\n> ") == "Conversation “tea” with slow. /help shows what you can do.\n\n> "
        terminal.type("Well?\n")
        await terminal.until("\nWaiting for the model. Ctrl-C stops it.")
        terminal.type("\x03")
        assert await terminal.until("\n> ") == f"\r{' ' * 39}\rStopped.\n\n> "
        await (await model.request(0)).over()
        assert await terminal.ask("And now?") == "And now?\nAt once.\n\n> "


@needs_pty
async def test_reply_follows_reasoning_that_was_shown(environ: dict[str, str], model: ModelStandin) -> None:
    environ |= {"OPENAI_MODEL": "tea", "TERM": "dumb"}
    deltas = ["Hm, ", "so.", "\n</thi", "nk>\n", "\nTea", "."]
    model.script += [Reply(deltas), Reply(deltas)]
    async with Terminal.open(environ, "--temporary") as terminal:
        await terminal.until("\n> ")
        assert await terminal.ask("Why?") == "Why?\nHm, so.\nThat was the model thinking. Its answer:\nTea.\n\n> "
    out, err, code = await pipe(environ, b"Why?\n", "--conversation", "tea")
    assert (out, code) == ("Hm, so.\nTea.\n", 0)
    assert "That was the model thinking. Its answer:\n" in err
    assert stored(environ) == [("Why?", "Tea.", "complete")]


MARKDOWN = """\
# Tea **and** kinds

See **what *is*** ~~gone~~ `a*b` at [home](https://a.b/c), where $x^2 + 1$ is \\*not\\* bold.
2 * 3 and snake_case stay.

- **Green**: a long line about green tea that goes on below its own text
  1. inner

| Kind | Where all of it comes from |
|---|--:|
| Green | China, Japan and Korea |

> quoted

```python
def f(**kwargs):

    return "a long line of code that is wider than the terminal, and stays as it is" or kwargs
```
Red \x1b[31malert\x07, \x01\x02.
"""
RENDERED = """\
\x1b[0;1;35mParley\x1b[0m
\x1b[0;1m\x1b[0;1;4mTea \x1b[0;1;4;1mand\x1b[0;1;4m kinds\x1b[0;4m\x1b[0m

See \x1b[0;1mwhat \x1b[0;1;3mis\x1b[0;3m\x1b[0m \x1b[0;9mgone\x1b[0m \x1b[0;36ma*b\x1b[0m at \x1b[0;4mhome\x1b[0m (https://a.b/c),
where x² + 1 is *not* bold.
2 * 3 and snake_case stay.

• \x1b[0;1mGreen\x1b[0m: a long line about green tea that goes
  on below its own text
  1. inner

\x1b[0;36mKind   Where all of it comes from\x1b[0m
\x1b[0;36m-----  --------------------------\x1b[0m
\x1b[0;36mGreen      China, Japan and Korea\x1b[0m

\x1b[0;2m│\x1b[0m quoted

\x1b[0;36mdef f(**kwargs):\x1b[0m
\x1b[0;36m\x1b[0m
\x1b[0;36m    return "a long line of code that is wider than the terminal, and stays as it is" or kwargs\x1b[0m
Red [31malert, .
"""


@needs_pty
async def test_markdown_is_shown_as_what_it_means(environ: dict[str, str], model: ModelStandin) -> None:
    environ |= {"TERM": "xterm", "OPENAI_MODEL": "tea"}
    async with Terminal.open(environ, "--temporary", columns=48) as terminal:
        prompt = "\x1b[1;32m> \x1b[0m"
        assert (await terminal.until(prompt)).endswith("\n\n\x1b[?2004h" + prompt)
        for step in (1, 7, 50):
            model.script.append(Reply([MARKDOWN[at : at + step] for at in range(0, len(MARKDOWN), step)]))
            terminal.type("Tea?\n")
            assert await terminal.until("Parley") == "Tea?\n\x1b[?2004l\r\x1b[0;1;35mParley"
            shown = "\x1b[0;1;35mParley" + await terminal.until(prompt)
            assert shown == RENDERED + "\n\x1b[?2004h" + prompt, step


@needs_pty
async def test_what_is_certain_is_shown_while_the_rest_is_written(environ: dict[str, str], model: ModelStandin) -> None:
    environ |= {"TERM": "xterm", "OPENAI_MODEL": "tea"}
    begun = "All who read this far can see it word by word, and need not wait until it is all done"
    model.script.append(Reply([f"- **one**\n- two\n\n{begun} **or", "** not."], tokens_per_second=0.01))
    async with Terminal.open(environ, "--temporary", columns=200) as terminal:
        await terminal.until("> ")
        terminal.type("Tea?\n")
        shown = await terminal.until("it is all")
        assert shown.endswith(f"\n• \x1b[0;1mone\x1b[0m\n• two\n\n{begun.removesuffix(' done')}")


@needs_pty
@pytest.mark.parametrize("unstyled", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}])
async def test_without_styles_a_reply_is_shown_as_it_is_written(
    environ: dict[str, str], model: ModelStandin, unstyled: dict[str, str]
) -> None:
    environ |= {"OPENAI_MODEL": "tea", **unstyled}
    text = "# Tea\n\n**Two** `kinds`:\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n```py\nx = 1\n```\n"
    model.script += [Reply(text), Reply(text)]
    async with Terminal.open(environ, "--temporary") as terminal:
        await terminal.until("> ")
        shown = await terminal.ask("Tea?", "> ")
        assert shown.replace("\x1b[?2004l\r", "").replace("\x1b[?2004h", "") == f"Tea?\n{text}\n> "
    assert (await pipe(environ, b"Tea?\n", "--temporary"))[0] == text
