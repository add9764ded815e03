"""The table of all settings.

The annotations of `Settings` are the table: names, defaults, help and parsers. The list for `--help-settings` and the
test of the documentation derive from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from bot.config import loading, model_servers, parsers
from bot.config.loading import Requirement, Setting
from bot.config.model_servers import ModelServerSettings
from bot.config.parsers import BOT_TAB
from bot.config.values import ListenAddress, Origins, Secret
from bot.core.access import AccessSettings, Servers
from bot.core.generation_settings import GenerationSettings
from bot.core.model_servers import ModelServer, ModelServers
from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas
from bot.core.shards import WantedShards
from bot.core.usage import Price, Prices
from bot.network.connections import Network

DISCORD = Requirement(("DISCORD_TOKEN",), f"DISCORD_TOKEN: not set; {BOT_TAB}.")
MODEL = Requirement(
    ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODEL_SERVERS"),
    "OPENAI_API_KEY and OPENAI_BASE_URL: not set; set your provider's key, the address of your own model server, such"
    " as http://localhost:11434/v1, or both.",
)

# With fewer tokens, not even a short question could be answered.
_TOKENS = parsers.integer(1_000, 999_999_999_999)
_PEOPLE, _ROLES = "the ids of people", "the ids of roles"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process. Times are seconds. Texts are stripped and not empty."""

    discord_token: Annotated[
        Secret | None,
        Setting(
            "", "The bot's token, from the Bot tab of its application in Discord's developer portal.", parsers.token
        ),
    ]
    openai_api_key: Annotated[
        Secret | None,
        Setting(
            "",
            "The API key of your model's provider. A server of your own usually needs none.",
            parsers.secret("the provider's key"),
        ),
    ]
    openai_base_url: Annotated[
        str | None,
        Setting(
            "", "The address of the model server, up to and including /v1. Not set: OpenAI's own API.", parsers.base_url
        ),
    ]
    openai_model: Annotated[str, Setting("gpt-6-luna", "The model's name, as its server spells it.", str)]
    models: Annotated[
        tuple[str, ...] | None,
        Setting("", "More models to choose from with /model, separated by commas.", parsers.models),
    ]
    fallback_model: Annotated[
        str | None,
        Setting(
            "", "The model that answers when the first one fails at the start. Its answers say so. Not set: none.", str
        ),
    ]
    vision_model: Annotated[
        str | None,
        Setting(
            "",
            "The model that answers questions about images where the chosen one cannot see. Its answers say so.",
            str,
        ),
    ]
    summary_model: Annotated[
        str | None,
        Setting(
            "",
            "The model that summarizes what no longer fits, and titles threads. Not set: the model of each"
            " conversation. off: none does.",
            parsers.model_or_off,
        ),
    ]
    transcription_model: Annotated[
        str | None,
        Setting("", "The model that transcribes voice messages. Not set: they cannot be heard.", str),
    ]
    model_servers: Annotated[
        Mapping[str, ModelServerSettings] | None,
        Setting(
            "",
            "More model servers: NAME=URL, separated by commas. NAME_API_KEY sets a key, NAME:MODEL names a model.",
            model_servers.servers,
        ),
    ]
    prices: Annotated[
        Mapping[str, Price] | None,
        Setting(
            "",
            "Prices of a million tokens, context/reply or context/reply/cached: gpt-6-luna=0.10/0.50/0.01, …",
            parsers.prices,
        ),
    ]
    reasoning_effort: Annotated[
        str,
        Setting(
            "none",
            "How much the model thinks first: none, minimal, low, medium, high, or another value of its server.",
            str,
        ),
    ]
    extra_body: Annotated[
        Mapping[str, Any] | None,
        Setting(
            "",
            'More fields for all requests, as JSON: {"temperature": 0.7}. NAME_EXTRA_BODY replaces them for a server.',
            model_servers.body,
        ),
    ]
    system_prompt: Annotated[
        str,
        Setting(
            "",
            "Instructions that the model gets with each conversation. Not set: a prompt for chatting.",
            str,
            prose=True,
        ),
    ]
    system_prompt_file: Annotated[
        Path | None,
        Setting("", "A text file (UTF-8) with instructions for the model, in place of SYSTEM_PROMPT.", parsers.path),
    ]
    database_path: Annotated[
        Path,
        Setting("data/parley.db", "The file for the conversations. It is created if missing.", parsers.database_path),
    ]
    database_url: Annotated[
        Secret | None,
        Setting(
            "",
            "In place of DATABASE_PATH, a PostgreSQL database: postgresql://USER:PASSWORD@HOST/DATABASE.",
            parsers.database_url,
        ),
    ]
    log_level: Annotated[
        str,
        Setting(
            "INFO", "How much is logged, from most to least: DEBUG, INFO, WARNING, ERROR, CRITICAL.", parsers.log_level
        ),
    ]
    log_format: Annotated[
        str,
        Setting("text", "The form of the log's lines: text, or json for one object a line.", parsers.log_format),
    ]
    log_messages: Annotated[
        bool,
        Setting(
            "false", "Whether the log may contain what people and the model write: true or false.", parsers.boolean
        ),
    ]
    metrics_port: Annotated[
        ListenAddress | None,
        Setting(
            "",
            "The port for figures in Prometheus' format: 9100, or 0.0.0.0:9100 for other computers too. Not set: none.",
            parsers.metrics_address,
        ),
    ]
    context_tokens: Annotated[
        int,
        Setting("8000", "Maximum tokens of history sent with each question.", parsers.integer(100, 2_000_000)),
    ]
    reply_tokens: Annotated[int, Setting("4000", "Maximum tokens of a reply.", parsers.integer(1, 500_000))]
    messages_per_reply: Annotated[
        int,
        Setting(
            "5", "Maximum messages of a reply in a server. A longer reply is sent as a file.", parsers.integer(1, 100)
        ),
    ]
    connect_timeout: Annotated[
        float, Setting("10", "Seconds to wait for a connection to the model.", parsers.seconds(300))
    ]
    first_delta_timeout: Annotated[
        float,
        Setting(
            "120",
            "Seconds to wait for the first words of a reply. A local model may need to load.",
            parsers.seconds(3600),
        ),
    ]
    silence_timeout: Annotated[
        float,
        Setting("60", "Seconds to wait for more words in the middle of a reply.", parsers.seconds(3600)),
    ]
    shutdown_grace: Annotated[
        float,
        Setting("8", "Seconds that running replies have to finish when the bot is stopped.", parsers.seconds(300)),
    ]
    max_concurrent_replies: Annotated[
        int, Setting("100", "How many replies can be written at the same time.", parsers.integer(1, 10_000))
    ]
    queue_per_user: Annotated[
        int, Setting("5", "How many questions of one person can wait in one conversation.", parsers.integer(1, 1000))
    ]
    queue_per_conversation: Annotated[
        int, Setting("25", "How many questions can wait in one conversation.", parsers.integer(1, 10_000))
    ]
    queue_total: Annotated[
        int, Setting("500", "How many questions can wait in all conversations.", parsers.integer(1, 100_000))
    ]
    recovery_max_age: Annotated[
        float,
        Setting(
            "900",
            "Questions from while the bot was away are not answered after this many seconds.",
            parsers.seconds(86_400),
        ),
    ]
    catch_up_per_channel: Annotated[
        int,
        Setting(
            "3", "How many questions from while the bot was away are answered in each channel.", parsers.integer(0, 100)
        ),
    ]
    retention_days: Annotated[
        int,
        Setting("90", "Days until an unused conversation or note is deleted. 0: never.", parsers.integer(0, 36_500)),
    ]

    shards: Annotated[
        int | WantedShards | None,
        Setting(
            "auto",
            "How many connections the bot has to Discord: auto (as many as Discord recommends), or a number. 4/8: this"
            " process has any four of eight that are free, 0-3/8: these.",
            parsers.shards,
        ),
    ]
    message_content: Annotated[
        bool,
        Setting(
            "false",
            "Whether the bot may read messages that do not mention it, where moderators choose so: true or false.",
            parsers.boolean,
        ),
    ]
    servers: Annotated[
        Servers,
        Setting(
            "owner",
            "Where the bot answers: owner (servers that its owner is in), ids, both (owner,ID), or any.",
            parsers.servers,
        ),
    ]
    direct_messages: Annotated[
        Literal["members", "everyone", "off"],
        Setting(
            "members",
            "Whose direct messages the bot answers: members (of its servers), everyone, or off.",
            parsers.direct_messages,
        ),
    ]
    allowed_users: Annotated[
        frozenset[int] | None,
        Setting(
            "",
            "The ids of the people who may use the bot. If ALLOWED_ROLES is not set either: all.",
            parsers.ids(_PEOPLE),
        ),
    ]
    allowed_roles: Annotated[
        frozenset[int] | None,
        Setting("", "The ids of roles whose members may use the bot too.", parsers.ids(_ROLES)),
    ]
    blocked_users: Annotated[
        frozenset[int] | None, Setting("", "The ids of people who may not use the bot anywhere.", parsers.ids(_PEOPLE))
    ]
    blocked_roles: Annotated[
        frozenset[int] | None, Setting("", "The ids of roles whose members may not use the bot.", parsers.ids(_ROLES))
    ]
    hourly_questions_per_user: Annotated[
        int, Setting("20", "How many questions one person can ask in an hour.", parsers.integer(1, 100_000))
    ]
    daily_tokens_per_user: Annotated[
        int | None,
        Setting(
            "200000",
            "Maximum tokens for the questions of one person in a day (UTC). With a local model: no limit unless set.",
            _TOKENS,
        ),
    ]
    daily_tokens_per_server: Annotated[
        int | None,
        Setting(
            "1000000",
            "Maximum tokens for the questions in one server in a day. With a local model: no limit unless set.",
            _TOKENS,
        ),
    ]
    daily_tokens_total: Annotated[
        int | None,
        Setting(
            "2000000",
            "Maximum tokens for all questions in a day. With a local model or DAILY_BUDGET: no limit unless set.",
            _TOKENS,
        ),
    ]
    daily_budget: Annotated[
        int | None,
        Setting(
            "",
            "Maximum cost of all questions in a day, in the currency of PRICES: 1.00, … Not set: no limit.",
            parsers.money,
        ),
    ]

    https_proxy: Annotated[
        Secret | None,
        Setting("", "The HTTP proxy for https addresses, Discord included: http://HOST:PORT.", parsers.proxy),
    ]
    http_proxy: Annotated[Secret | None, Setting("", "The HTTP proxy for http addresses.", parsers.proxy)]
    all_proxy: Annotated[
        Secret | None, Setting("", "The proxy to use where HTTPS_PROXY or HTTP_PROXY is not set.", parsers.proxy)
    ]
    no_proxy: Annotated[
        tuple[str, ...] | None,
        Setting(
            "",
            "Hosts to reach without a proxy, separated by commas: names (and subdomains), addresses, 10.0.0.0/8.",
            parsers.hosts,
        ),
    ]
    ssl_cert_file: Annotated[
        Path | None,
        Setting(
            "", "A file (PEM) with more certificate authorities to trust, beside the system's.", parsers.certificates
        ),
    ]

    origins: Origins = field(compare=False)

    @property
    def network(self) -> Network:
        """How the model's server and Discord are connected to."""
        https, http = self.https_proxy or self.all_proxy, self.http_proxy or self.all_proxy
        return Network(
            https.reveal() if https else None,
            http.reveal() if http else None,
            self.no_proxy or (),
            self.ssl_cert_file,
        )

    @property
    def generation(self) -> GenerationSettings:
        """The settings of requests to the model, without quotas."""
        return GenerationSettings(
            models=self.offered_models,
            fallback_model=self.fallback_model,
            vision_model=self.vision_model,
            summaries=self.summary_model != parsers.OFF,
            summary_model=None if self.summary_model == parsers.OFF else self.summary_model,
            transcription_model=self.transcription_model,
            system_prompt=self.system_prompt,
            context_tokens=self.context_tokens,
            reply_tokens=self.reply_tokens,
            reasoning_effort=self.reasoning_effort,
            servers=self.model_servers_by_name,
            prices=Prices(self.prices or {}),
        )

    @property
    def limits(self) -> QueueLimits:
        return QueueLimits(
            max_concurrent_replies=self.max_concurrent_replies,
            queue_per_user=self.queue_per_user,
            queue_per_conversation=self.queue_per_conversation,
            queue_total=self.queue_total,
        )

    @property
    def quotas(self) -> Quotas:
        return Quotas(
            hourly_questions_per_user=self.hourly_questions_per_user,
            daily_tokens_per_user=self.daily_tokens_per_user,
            daily_tokens_per_server=self.daily_tokens_per_server,
            daily_tokens_total=self.daily_tokens_total,
            daily_budget=self.daily_budget,
        )

    @property
    def access(self) -> AccessSettings:
        """The operator's rules on who may use the bot, and where."""
        return AccessSettings(
            self.servers,
            self.direct_messages,
            self.allowed_users or frozenset(),
            self.allowed_roles or frozenset(),
            self.blocked_users or frozenset(),
            self.blocked_roles or frozenset(),
        )

    @property
    def offered_models(self) -> tuple[str, ...]:
        """The models that a channel may choose, without duplicates, the default one first."""
        return tuple(dict.fromkeys((self.openai_model, *(self.models or ()))))

    @property
    def all_model_servers(self) -> Mapping[str, ModelServerSettings]:
        """The model servers that are set, by name. The default one, if it is among them, has an empty name."""
        default = ModelServerSettings(
            self.openai_base_url, self.openai_api_key, self.extra_body or {}, origins=self.origins
        )
        is_set = self.openai_api_key is not None or self.openai_base_url is not None
        return {**({"": default} if is_set else {}), **(self.model_servers or {})}

    @property
    def model_servers_by_name(self) -> ModelServers:
        """The model servers as people and the store know them."""
        known = {name: server.described for name, server in self.all_model_servers.items()}
        return ModelServers(known.pop("", ModelServer()), known)

    @property
    def model_configured(self) -> bool:
        """Whether a model server is set. Without one, chat and playground use the demo model."""
        return bool(self.all_model_servers)

    @property
    def secrets(self) -> Sequence[str]:
        """The token, the keys of all model servers and the passwords of database and proxies, which no log may show."""
        keys = (server.api_key for server in self.all_model_servers.values())
        known = [secret.reveal() for secret in (self.discord_token, self.database_url, *keys) if secret]
        database = parsers.passwords_in(self.database_url.reveal()) if self.database_url else ()
        return [*known, *database, *self.network.secrets]

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        env_file: Path | None = Path(".env"),
        needs: Sequence[Requirement] = (),
        *,
        default_limits: bool = True,
    ) -> Self:
        """Read every setting from `environ`, else from `env_file`, else its default. Empty counts as not set.

        Without `default_limits`, questions and tokens are limited only where a limit is set. Raises `SettingsError`
        with every mistake, among them the `needs` that are not met and names in the file that look like misspelt
        settings.
        """
        return cls(**loading.values(SETTINGS, environ, env_file, needs, default_limits=default_limits))


SETTINGS: Mapping[str, Setting] = {
    name.upper(): hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if name != "origins"
}
"""The table of all settings, by name."""
