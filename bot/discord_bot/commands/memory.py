"""What is remembered in a place, a search in it, its summaries, and a user's own notes: /memory, with its form."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace

import discord
from discord import app_commands
from discord.ext.commands import Cog

from bot.core.context import BYTES_PER_TOKEN
from bot.core.records import ConversationSummary, Note, NoteResult
from bot.core.summaries import RememberedSummaries
from bot.core.turns import is_blank
from bot.discord_bot.channels import reads_history
from bot.discord_bot.commands.context import BotContext, Place, place, where_served
from bot.discord_bot.commands.search import LONGEST_QUERY, Search
from bot.discord_bot.commands.summaries import Summaries
from bot.discord_bot.commands.verbatim import verbatim, visible
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.messages import REQUEST_ERRORS
from bot.discord_bot.interactions.responses import respond_ephemeral, run_or_report, update
from bot.discord_bot.names import stored_name
from bot.store.notes import MOST_CHARACTERS, MOST_NOTES
from bot.texts import access as access_words
from bot.texts import memory as words
from bot.texts import privacy as privacy_words
from bot.texts.channel_settings import NOT_CHANGED

log = logging.getLogger(__name__)

_ADD = re.compile(r"notes:add")
_DELETE = re.compile(r"notes:delete:(?P<note_id>[0-9]{1,19})")
_FORM = "note"


class MemoryCommand(Cog):
    """/memory."""

    def __init__(self, bot: BotContext) -> None:
        self._bot = bot
        self._search = Search(bot)
        self._summaries = Summaries(bot)
        buttons.listen(bot.client, _ADD, where_served(bot.policy, self._open_form))
        # Also where the bot is not served any more.
        buttons.listen(bot.client, _DELETE, self._delete_pressed)
        bot.forms.register(_FORM, where_served(bot.policy, self._submitted))

    @app_commands.command(
        description="See or search what I remember here, see who can read it, and add notes about you."
    )
    @app_commands.describe(
        search="Words of an earlier question or answer in this conversation.",
        only_for_me="Only what you asked with /ask here for nobody else to see.",
    )
    async def memory(
        self,
        interaction: discord.Interaction,
        search: app_commands.Range[str, 1, LONGEST_QUERY] | None = None,
        only_for_me: bool = False,
    ) -> None:
        here = place(interaction, only_for_me=only_for_me)
        if search is not None:
            await self._search.respond(interaction, here, search)
            return
        work = self._describe(interaction, here)
        described = await run_or_report(interaction, work, failed=privacy_words.UNREACHABLE, doing="reading the memory")
        if described is not None:
            remembered, summaries, notes = described
            if await respond_ephemeral(interaction, remembered):
                if summaries is not None:
                    await self._summaries.show(interaction, here, summaries)
                await respond_ephemeral(interaction, self._shown(interaction, notes), view=_buttons(notes))

    async def _describe(
        self, interaction: discord.Interaction, here: Place
    ) -> tuple[str, RememberedSummaries | None, Sequence[Note]]:
        store = self._bot.store
        notes = await store.notes.of(interaction.user.id, here.guild_id)
        summary = await store.conversations.summary(here.conversation)
        if summary is None:
            return privacy_words.NOTHING_HERE, None, notes
        if not here.private and not reads_history(interaction):
            summary = replace(summary, people=())
        behaviour = await store.personas.settings_of(here.channel, here.parent)
        providers = self._bot.conversations.settings.providers(behaviour.model)
        lines = [self._described(summary, providers, private=here.private), words.ALSO_SENT]
        usage = await store.conversations.lately_sent(here.conversation)
        if usage.prompt_tokens:
            lines.append(words.cached(usage.prompt_tokens, usage.cached_tokens))
        return "\n".join(lines), await self._summaries.of(interaction, here), notes

    def _described(self, summary: ConversationSummary, providers: Sequence[str], *, private: bool) -> str:
        options = self._bot.options
        return privacy_words.memory(
            questions=summary.turns,
            since=summary.since,
            people=[(stored_name(name), questions) for name, questions in summary.people],
            more_people=summary.people_in_all - len(summary.people),
            tokens=round(summary.size / BYTES_PER_TOKEN),
            reminded=options.context_tokens,
            readers=privacy_words.readers(providers, private=private),
            retention_days=options.retention_days,
            private=private,
        )

    async def _open_form(self, interaction: discord.Interaction, _: re.Match[str]) -> None:
        try:
            await interaction.response.send_modal(_form(private=interaction.guild_id is None))
        except REQUEST_ERRORS as error:
            log.warning("the form for a note could not be shown: %s", error)

    async def _submitted(self, interaction: discord.Interaction, text: str) -> None:
        if is_blank(text):
            await respond_ephemeral(interaction, words.BLANK)
            return
        work = self._add(interaction, text.strip())
        answer = await run_or_report(interaction, work, failed=NOT_CHANGED, doing="saving a note")
        if isinstance(answer, str):
            await respond_ephemeral(interaction, answer)
        elif answer is not None:
            await self._update(interaction, words.added(private=interaction.guild_id is None), answer)

    async def _add(self, interaction: discord.Interaction, text: str) -> str | Sequence[Note]:
        """Save a note. Returns the user's notes, or why it is not saved."""
        if denied := await self._bot.policy.check_user(interaction):
            return access_words.denied(denied)
        user_id, guild_id = interaction.user.id, interaction.guild_id
        match await self._bot.store.notes.add(user_id, guild_id, text, len(visible(text))):
            case NoteResult.KNOWN:
                return words.KNOWN
            case NoteResult.FULL:
                return words.full(MOST_CHARACTERS, MOST_NOTES)
        return await self._bot.store.notes.of(user_id, guild_id)

    async def _delete_pressed(self, interaction: discord.Interaction, id_: re.Match[str]) -> None:
        work = self._delete(interaction, int(id_["note_id"]))
        deleted = await run_or_report(interaction, work, failed=NOT_CHANGED, doing="deleting a note")
        if deleted is not None:
            sentence, notes = deleted
            await self._update(interaction, sentence, notes)

    async def _delete(self, interaction: discord.Interaction, note_id: int) -> tuple[str, Sequence[Note]]:
        """Delete a note. Returns what to say, and the notes that are left."""
        user_id, guild_id = interaction.user.id, interaction.guild_id
        deleted = await self._bot.store.notes.delete(user_id, guild_id, note_id)
        return words.DELETED if deleted else words.GONE, await self._bot.store.notes.of(user_id, guild_id)

    async def _update(self, interaction: discord.Interaction, sentence: str, notes: Sequence[Note]) -> None:
        """Show the notes anew in the message that an interaction came from, below a sentence."""
        shown = self._shown(interaction, notes)
        await update(interaction, f"{sentence}\n\n{shown}", view=_buttons(notes))

    def _shown(self, interaction: discord.Interaction, notes: Sequence[Note]) -> str:
        """What somebody is shown of their notes. Their limits keep it within one message."""
        private = interaction.guild_id is None
        if not notes:
            return words.no_notes(private=private)
        characters = sum(len(visible(note.text)) for note in notes)
        listed = "\n".join(f"{number}. {note.text}" for number, note in enumerate(notes, 1))
        days = self._bot.options.retention_days
        [shown] = verbatim(listed, words.notes(characters, MOST_CHARACTERS, days, private=private))
        return shown


def _buttons(notes: Sequence[Note]) -> discord.ui.View:
    add = discord.ui.Button[discord.ui.View](label=words.ADD, custom_id="notes:add")
    deletes = (
        discord.ui.Button[discord.ui.View](label=words.delete(number), custom_id=f"notes:delete:{note.id}")
        for number, note in enumerate(notes, 1)
    )
    return buttons.row(add, *deletes)


def _form(*, private: bool) -> discord.ui.Modal:
    form = discord.ui.Modal(title=words.FORM, custom_id=_FORM)
    form.add_item(
        discord.ui.Label(
            text=words.FIELD,
            description=words.field_help(private=private),
            component=discord.ui.TextInput(
                style=discord.TextStyle.paragraph,
                custom_id="text",
                placeholder=words.FIELD_EXAMPLE,
                max_length=MOST_CHARACTERS,
            ),
        )
    )
    # A form that is not finished would stay in discord.py's memory; `Forms` routes what is submitted.
    form.stop()
    return form
