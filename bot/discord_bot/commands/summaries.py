"""The summaries of what no longer fits in a place's requests: a part of /memory, with a button to make them again."""

from __future__ import annotations

import io
import re

import discord

from bot.core.summaries import RememberedSummaries
from bot.discord_bot.channels import moderates, reads_history
from bot.discord_bot.commands.context import BotContext, Place, place, where_served
from bot.discord_bot.commands.verbatim import verbatim
from bot.discord_bot.delivery import buttons
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.texts import access as access_words
from bot.texts import memory as words
from bot.texts.channel_settings import NOT_CHANGED

_REMAKE = re.compile(r"summaries:remake(?P<own>:own)?")


class Summaries:
    """Shows the summaries of a place as they are, and has them made again."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        buttons.listen(bot.client, _REMAKE, where_served(bot.policy, self._pressed))

    async def of(self, interaction: discord.Interaction, here: Place) -> RememberedSummaries | None:
        """What is to be shown to a user. None: nothing is summarized there, or the user may not read the history."""
        may_read = here.private or reads_history(interaction)
        if not self._bot.conversations.settings.summaries or not may_read:
            return None
        found = await self._bot.store.summaries.remembered(here.conversation)
        return found if any(found) else None

    async def show(self, interaction: discord.Interaction, here: Place, found: RememberedSummaries) -> None:
        """Show them in a private message: those that are too long for it as a file."""
        heading = _heading(found)
        text = "\n\n".join(f"{words.period(each.since, each.until)}\n{each.text}" for each in found.summaries)
        may_remake = (here.private or moderates(interaction)) and not found.only_due
        view = buttons.row(_button(here)) if may_remake else discord.utils.MISSING
        shown = verbatim(text, heading) if text else [heading]
        if len(shown) == 1:
            await respond_ephemeral(interaction, shown[0], view=view)
        else:
            file = discord.File(io.BytesIO(text.encode(errors="replace")), words.SUMMARIES_FILE)
            await respond_ephemeral(interaction, heading, view=view, file=file)

    async def _pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        here = place(interaction, only_for_me=id_["own"] is not None)
        if not here.private and not moderates(interaction):
            await respond_ephemeral(interaction, words.NOT_YOURS_TO_REMAKE)
            return
        answer = await run_or_report(
            interaction, self._remake(interaction, here), failed=NOT_CHANGED, doing="having summaries made again"
        )
        if answer is not None:
            await update(interaction, answer)

    async def _remake(self, interaction: discord.Interaction, here: Place) -> str:
        """Have the summaries made again. Returns what to say."""
        if denied := await self._bot.policy.check_user(interaction):
            return access_words.denied(denied)
        if not self._bot.conversations.settings.summaries:
            return words.NOTHING_TO_SUMMARIZE
        found = await self._bot.store.summaries.remembered(here.conversation)
        if found.only_due:
            # The button of an earlier answer: what is under way is not begun again.
            return _heading(found)
        remaking = await self._bot.store.summaries.remake(here.conversation)
        self._bot.conversations.summaries.wake()
        return words.REMAKING if remaking else words.NOTHING_TO_SUMMARIZE


def _heading(found: RememberedSummaries) -> str:
    return words.summaries(found.due, found.failed, any_made=bool(found.summaries))


def _button(here: Place) -> discord.ui.Button[discord.ui.View]:
    own = "" if here.conversation == here.channel else ":own"
    return discord.ui.Button(label=words.REMAKE, custom_id=f"summaries:remake{own}")
