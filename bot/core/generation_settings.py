"""The settings of requests to models, and which models they allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.model_servers import ModelServers
from bot.core.quotas import Quotas
from bot.core.usage import Prices

TRANSCRIPTION_MODEL = "TRANSCRIPTION_MODEL"
"""The setting of the model that may be unable to answer."""


class ModelJob(StrEnum):
    """What a model is asked for, beside answers."""

    FALLBACK = "fallback"
    PICTURES = "pictures"
    VOICE = "voice"
    SUMMARIES = "summaries"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """The settings of every request to a model. A channel's own persona and model take precedence over them."""

    models: tuple[str, ...]
    """The models that a channel may choose. The first one answers where none was chosen."""
    system_prompt: str
    about_memory: str = ""
    """What the model is told, after the system prompt or persona, on how people make notes about themselves."""
    context_tokens: int
    """The largest context that is sent, in tokens."""
    fallback_model: str | None = None
    """The model that is asked where the first one fails before its first word."""
    vision_model: str | None = None
    """The model that is asked about pictures where the chosen one cannot see."""
    transcription_model: str | None = None
    """The model that turns voice messages into text."""
    reply_tokens: int = 4000
    """The longest reply, in tokens. A much longer one is cut off."""
    reasoning_effort: str = "none"
    """How much the models are asked to think. What they are allowed for it comes on top of `reply_tokens`."""
    servers: ModelServers = ModelServers()  # noqa: RUF009 -- it is frozen
    """The servers of these models."""
    quotas: Quotas | None = None
    """Without quotas no usage is counted."""
    prices: Prices = field(default_factory=Prices)
    """What each attempt is charged, where its model has a price."""
    summaries: bool = False
    """Whether what leaves a conversation's window is summarized, and the summaries are sent."""
    summary_model: str | None = None
    """The model that summarizes. None: that of the conversation."""

    def chosen_model(self, chosen: str | None) -> str:
        """The chosen model if it is still offered, otherwise the default one."""
        return self.models[0] if chosen is None or chosen not in self.models else chosen

    @property
    def named_in(self) -> Mapping[str, str]:
        """The setting that names each model that may be asked."""
        first, *others = self.models
        named = {first: "OPENAI_MODEL", **dict.fromkeys(others, "MODELS")}
        if self.fallback_model:
            named.setdefault(self.fallback_model, "FALLBACK_MODEL")
        if self.vision_model:
            named.setdefault(self.vision_model, "VISION_MODEL")
        if self.summaries and self.summary_model:
            named.setdefault(self.summary_model, "SUMMARY_MODEL")
        if self.transcription_model:
            named.setdefault(self.transcription_model, TRANSCRIPTION_MODEL)
        return named

    def summarizing_model(self, chosen: str | None) -> str:
        """The model that summarizes a conversation with this choice."""
        return self.summary_model or self.chosen_model(chosen)

    def helpers(self, chosen: str | None) -> Mapping[ModelJob, str]:
        """The models that may be asked beside the one that answers where one is chosen, by what for."""
        helpers = {
            ModelJob.FALLBACK: self.fallback_model,
            ModelJob.PICTURES: self.vision_model,
            ModelJob.VOICE: self.transcription_model,
            ModelJob.SUMMARIES: self.summary_model if self.summaries else None,
        }
        answers = self.chosen_model(chosen)
        return {job: model for job, model in helpers.items() if model and model != answers}

    def providers(self, chosen: str | None) -> Sequence[str]:
        """The providers of all models that may be asked where one is chosen."""
        models = (self.chosen_model(chosen), *self.helpers(chosen).values())
        return tuple(dict.fromkeys(map(self.servers.provider, models)))
