"""A reply that lets one wait."""

from __future__ import annotations

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.terminal.processes import Terminal, needs_pty


@needs_pty
async def test_a_model_that_lets_one_wait_can_be_stopped_before_its_first_word(
    environ: dict[str, str], model: ModelStandin
) -> None:
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
