"""REST routes for answers to interactions: the callback, the original answer, and follow-ups."""

from __future__ import annotations

from bot.standin import answers, message_payloads
from bot.standin.composer import Composer
from bot.standin.entities import Json, Message, MessageFlag, MessageType
from bot.standin.errors import ApiError, invalid_form, unknown
from bot.standin.interactions import Callback, Interaction, Interactions, Kind
from bot.standin.rest import Endpoint, Incoming
from bot.standin.world import World

_WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
_ORIGINAL = _WEBHOOK + "/messages/@original"
_MESSAGE = _WEBHOOK + "/messages/{message_id}"

_ON_COMPONENTS = {Callback.DEFERRED_UPDATE, Callback.UPDATE}
_CONTEXT_MENU_TYPES = {2, 3}


class InteractionRoutes:
    def __init__(self, world: World, composer: Composer, interactions: Interactions) -> None:
        self._world = world
        self._composer = composer
        self._interactions = interactions

    def endpoints(self) -> list[Endpoint]:
        callback = "/interactions/{interaction_id}/{interaction_token}/callback"
        return [
            Endpoint("POST", callback, self._callback, by_token=True),
            Endpoint("POST", _WEBHOOK, self._follow_up, by_token=True),
            Endpoint("GET", _ORIGINAL, self._get_original, by_token=True),
            Endpoint("PATCH", _ORIGINAL, self._edit_original, by_token=True),
            Endpoint("DELETE", _ORIGINAL, self._delete_original, by_token=True),
            Endpoint("GET", _MESSAGE, self._get, by_token=True),
            Endpoint("PATCH", _MESSAGE, self._edit, by_token=True),
            Endpoint("DELETE", _MESSAGE, self._delete, by_token=True),
        ]

    def _callback(self, call: Incoming) -> Json | None:
        interaction = self._interactions.to_answer(call.id("interaction_id"), call.ids["interaction_token"])
        if interaction.callback is not None:
            raise ApiError(400, 40060, "Interaction has already been acknowledged.")
        kind = self._kind(interaction, call.body["type"])
        data: Json = call.body.get("data") or {}
        shown: Message | None = None
        match kind:
            case Callback.MESSAGE | Callback.DEFERRED_MESSAGE:
                extra = MessageFlag.LOADING if kind is Callback.DEFERRED_MESSAGE else MessageFlag.NONE
                shown = self._create(interaction, data, call, extra, reply_to=interaction.target)
                interaction.response = shown
            case Callback.UPDATE if interaction.source is not None:
                self._composer.edit(interaction.source, data, call.files)
                shown = interaction.response = interaction.source
            case Callback.DEFERRED_UPDATE:
                interaction.response = interaction.source
            case Callback.AUTOCOMPLETE:
                answers.check_offer(data.get("choices"), interaction.focused["type"])
                interaction.choices = data["choices"]
            case Callback.MODAL:
                answers.check_form(data)
                interaction.modal = data
        interaction.callback = kind
        self._world.changed()
        if call.query.get("with_response", "").lower() not in ("1", "true"):
            return None
        return self._callback_body(interaction, shown)

    def _kind(self, interaction: Interaction, number: int) -> Callback:
        """Return the callback type, or raise an error if the interaction does not allow it.

        Updates need a component's message. A form cannot answer a form. Choices are only for autocomplete.
        """
        kind = Callback(number) if number in set(Callback) else None
        wrong = (
            kind is None
            or (kind in _ON_COMPONENTS and interaction.source is None)
            or (kind is Callback.MODAL and interaction.kind is Kind.MODAL_SUBMIT)
            or ((kind is Callback.AUTOCOMPLETE) != (interaction.kind is Kind.AUTOCOMPLETE))
        )
        if kind is None or wrong:
            raise invalid_form(
                {"type": ("INTERACTION_CALLBACK_TYPE_INVALID", "This callback does not fit the interaction.")}
            )
        return kind

    def _callback_body(self, interaction: Interaction, shown: Message | None) -> Json:
        about: Json = {
            "id": str(interaction.id),
            "type": int(interaction.kind),
            "channel_id": str(interaction.channel.id),
        }
        if interaction.channel.guild is not None:
            about["guild_id"] = str(interaction.channel.guild.id)
        body: Json = {"interaction": about}
        if shown is not None:
            about["response_message_id"] = str(shown.id)
            about["response_message_loading"] = shown.loading
            about["response_message_ephemeral"] = shown.ephemeral
            if not shown.loading:
                body["resource"] = {"type": int(interaction.callback or 0), "message": self._show(shown)}
        return body

    def _create(
        self,
        interaction: Interaction,
        body: Json,
        call: Incoming,
        extra: MessageFlag,
        *,
        reply_to: Message | None = None,
    ) -> Message:
        flags = MessageFlag(body.get("flags") or 0) & MessageFlag.EPHEMERAL | extra
        context_menu = interaction.data.get("type") in _CONTEXT_MENU_TYPES
        kinds = {Kind.COMMAND: MessageType.CONTEXT_MENU if context_menu else MessageType.SLASH_COMMAND}
        return self._composer.create(
            interaction.channel,
            body,
            call.files,
            type=kinds.get(interaction.kind, MessageType.DEFAULT),
            extra_flags=flags,
            webhook_id=self._world.bot.id,
            interaction=self._interactions.metadata(interaction),
            reply_to=reply_to,
        )

    # After the callback

    def _interaction(self, call: Incoming) -> Interaction:
        return self._interactions.to_follow_up(call.ids["webhook_token"])

    def _follow_up(self, call: Incoming) -> Json:
        interaction = self._interaction(call)
        if interaction.callback is None:
            raise unknown("Webhook")
        # The first follow-up after a deferral replaces "... is thinking" and keeps its visibility.
        if interaction.response is not None and interaction.response.loading and not interaction.response.deleted:
            self._composer.edit(interaction.response, call.body, call.files)
            return self._show(interaction.response)
        message = self._create(interaction, call.body, call, MessageFlag.NONE)
        interaction.followups.append(message)
        self._world.changed()
        return self._show(message)

    def _original(self, call: Incoming) -> Message:
        message = self._interaction(call).response
        if message is None or message.deleted:
            raise unknown("Message")
        return message

    def _message(self, call: Incoming) -> Message:
        interaction = self._interaction(call)
        every = [*interaction.followups, *([interaction.response] if interaction.response else [])]
        for message in every:
            if message.id == call.id("message_id") and not message.deleted:
                return message
        raise unknown("Message")

    def _get_original(self, call: Incoming) -> Json:
        return self._show(self._original(call))

    def _edit_original(self, call: Incoming) -> Json:
        return self._edited(self._original(call), call)

    def _delete_original(self, call: Incoming) -> None:
        self._world.delete(self._original(call))

    def _get(self, call: Incoming) -> Json:
        return self._show(self._message(call))

    def _edit(self, call: Incoming) -> Json:
        return self._edited(self._message(call), call)

    def _delete(self, call: Incoming) -> None:
        self._world.delete(self._message(call))

    def _edited(self, message: Message, call: Incoming) -> Json:
        self._composer.edit(message, call.body, call.files)
        return self._show(message)

    def _show(self, message: Message) -> Json:
        return message_payloads.message(message, self._world.viewer(content=True))
