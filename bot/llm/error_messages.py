"""The failures of a model server as errors that name the setting to change and never show the key."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import httpx2
import jiter
import openai

from bot.config import ModelServerSettings
from bot.core.errors import ContextTooLong, EmptyStream, ModelError, PicturesRefused
from bot.core.turns import FailureReason
from bot.llm.error_kinds import (
    classify,
    is_bad_key,
    is_loading,
    is_out_of_credit,
    message_of,
    names_in,
    retry_after,
    shortened,
    status_of,
    window_in,
)
from bot.llm.timeouts import Timeouts
from bot.network.failures import LASTING, NOTHING_ANSWERED, REMEDIES, Cause, Failure, failure, links

_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.InvalidURL,
)
"""The errors before a connection exists. They are aiohttp's own, because the SDK's transport reports the same timeout
for them and for a connection that was lost later."""


_ONLY_TLS = re.compile(
    "plain http request was sent to https port|http request to an https server|speaking plain http to an ssl-enabled"
)
"""What nginx, Go's servers and Apache answer to http on a port for https, in lower case."""


def wants_tls(error: openai.APIStatusError) -> bool:
    """Whether a server refused http on a port for https."""
    return error.status_code == 400 and _ONLY_TLS.search(error.response.text.lower()) is not None


class StillLoading(ModelError):
    """The model server has yet to load its model."""


@dataclass(frozen=True, slots=True)
class ErrorTranslator:
    """Turns the failures of one model server into a `ModelError`, which names the setting to change."""

    base_url: str
    key: str | None = field(repr=False)
    timeouts: Timeouts
    server: ModelServerSettings = ModelServerSettings()  # noqa: RUF009 -- it is frozen
    proxy: str | None = field(default=None, repr=False)
    """The URL of the proxy to the server, if there is one."""
    for_transcription: bool = False
    """Whether a recording was sent, and no question."""

    def blames_extra_body(self, said: str, ours: Collection[str]) -> bool:
        """Whether a refusal names a key of the operator's extra body and none of `ours`; `said` in lower case."""
        if self._extra_key_in(said) is None:
            return False
        return not any(name in said for name in ours if name not in self.server.extra_body)

    def _extra_key_in(self, said: str) -> str | None:
        keys = self.server.extra_body
        return next((key for key in keys if re.search(rf"(?<![\w-]){re.escape(key.lower())}(?![\w-])", said)), None)

    def from_status(self, error: openai.APIStatusError, model: str) -> ModelError:
        """The error for a response with an error status."""
        if error.status_code in (301, 302, 303, 307, 308):
            target = _origin(error.response.headers.get("Location", ""))
            url = self.server.url_setting
            ours = urlsplit(self.base_url)
            # Another host may be the login page of a network, and is not to get the key.
            better = target + ours.path if urlsplit(target).hostname == ours.hostname else None
            return ModelError(
                FailureReason.CONFIGURATION,
                f"{url} {self.base_url} redirects to {target}. {self._change_url(better)}",
                advice=f"{url} {self.base_url} redirects. Correct it in {self._place(url)} and restart.",
            )
        if error.status_code == 407:
            return self._no_answer(Failure(Cause.PROXY_LOGIN, "the proxy wants a name and a password (407)"))
        body = error.response.text
        if wants_tls(error):
            return self._no_answer(Failure(Cause.ONLY_TLS, "it only speaks TLS (https) on this port"))
        try:
            body = jiter.from_json(body.encode())
        except ValueError:
            if "<html" in body.lower():
                body = ""
        return self._from_text(body, error.status_code, retry_after(error.response.headers), model)

    def from_event(self, body: object, model: str) -> ModelError:
        """The error for an error object within a stream."""
        body = shortened(body)
        return self._from_text(body, status_of(body), None, model)

    def _from_text(self, body: object, status: int | None, wait: float | None, model: str) -> ModelError:
        said = json.dumps(body, ensure_ascii=False).lower()
        problem = classify(status, said)
        # llama.cpp answers 501 for a model that has no ears. A chat's 501 may be about anything.
        if self._wants_a_key(body, status) or (self.for_transcription and status == 501):
            problem = FailureReason.CONFIGURATION
        detail = self._advice(problem, status, said, model)
        advice = detail.replace(f" ({status})", "")
        if names := names_in(body):
            detail = f"{detail} Its error: {self._clean(', '.join(names))}."
        message = self._clean(message_of(body))
        if problem is FailureReason.TOO_LONG:
            return ContextTooLong(detail, *window_in(said), advice=advice, server_message=message)
        kind = StillLoading if problem is FailureReason.UNREACHABLE and is_loading(status, said) else ModelError
        return kind(problem, detail, wait, advice=advice, server_message=message)

    def _wants_a_key(self, body: object, status: int | None) -> bool:
        """Whether a server fails without a word because it was sent no key, as LiteLLM's proxy does."""
        return status == 500 and self.key is None and body == "Internal Server Error"

    def _advice(self, problem: FailureReason, status: int | None, said: str, model: str) -> str:
        number = f" ({status})" if status else ""
        key = self.server.key_setting
        if problem is FailureReason.TOO_LONG:
            return (
                f"The context is too long for {model}{number}. If this lasts, lower CONTEXT_TOKENS or"
                " REPLY_TOKENS in .env and restart."
            )
        if problem is FailureReason.CONTENT_FILTERED:
            return f"The provider's content filter declined the request{number}; no setting helps."
        if problem is FailureReason.BUSY:
            if status in (None, 429):
                return (
                    f"The model server allows no more requests right now{number}. If this lasts, raise the limit of the"
                    f" account of {key}."
                )
            return f"The model server is too busy{number}. If this lasts, choose another server or model."
        if problem is FailureReason.UNREACHABLE and is_loading(status, said):
            return (
                f"The model server at {self.base_url} did not load {model} within {self.timeouts.first_delta:g}"
                f" s{number}. Look at its log; if it only needs longer, raise FIRST_DELTA_TIMEOUT in"
                f" {self._place('FIRST_DELTA_TIMEOUT')} and restart."
            )
        if problem is FailureReason.UNREACHABLE:
            return f"The model server at {self.base_url} failed{number}. Look at its log or its status page."
        if is_out_of_credit(status, said):
            return (
                f"The account of {key} has no credit left{number}. Top it up, or replace the key in"
                f" {self._place(key)} and restart."
            )
        if is_bad_key(status, said):
            if self.key:
                return f"The model server refused {key}{number}. Replace it in {self._place(key)} and restart."
            return f"The model server wants a key{number}. Set {key} in {self._place(key)} and restart."
        if status == 500:
            return (
                f"The model server failed and gave no reason{number}. Set {key} in {self._place(key)} and restart (some"
                " proxies fail like that without a key), or look at the server's log."
            )
        if status == 403:
            return (
                f"The model server does not let {key} use {model}{number}. Change one of them in {self._place(key)} and"
                " restart."
            )
        if "reasoning_effort" in said:
            return (
                f"The model server refused REASONING_EFFORT for {model}{number}. Correct it in"
                f" {self._place('REASONING_EFFORT')} and restart."
            )
        if extra := self._extra_key_in(said):
            body = self.server.body_setting
            return (
                f"The model server refused {extra} of {body} for {model}{number}. Correct it in {self._place(body)} and"
                " restart."
            )
        if "model" in said and not (self.for_transcription and status == 501):
            settings = (
                "TRANSCRIPTION_MODEL" if self.for_transcription else "OPENAI_MODEL, or the setting that names it,"
            )
            return f"The model server refused the model {model}{number}. Correct {settings} in .env and restart."
        if self.for_transcription and (status in (400, 404, 405, 415, 422, 501)):
            return self._no_transcription(number)
        if status == 404:
            return (
                f"The model server has nothing at {self.server.url_setting} {self.base_url}{number}."
                f" {self._change_url(self._with_v1())}"
            )
        return (
            f"The model server refused the request{number}. Check OPENAI_MODEL and {self.server.url_setting};"
            " `python -m bot check` shows what it says."
        )

    def from_refused_pictures(self, status: int | None, refusal: str, model: str, most: int | None) -> PicturesRefused:
        """The error for a request whose pictures the server does not take, or takes only `most` of."""
        if most == 0:
            said, then = f"{model} cannot see images", "Set VISION_MODEL in .env to a model that can, and restart."
        elif most is not None:
            said, then = f"{model} takes at most {most} images in a request", "It is sent no more from now on."
        else:
            said = f"The model server refused a request with images for {model}"
            then = "The question was sent without them; `python -m bot check` shows what the server says."
        number = f" ({status})" if status else ""
        with suppress(ValueError):
            refusal = message_of(jiter.from_json(refusal.encode()))
        return PicturesRefused(
            f"{said}{number}. {then}", most, advice=f"{said}. {then}", server_message=self._clean(refusal)
        )

    def _no_transcription(self, number: str = "") -> str:
        return (
            f"The model server at {self.base_url} cannot transcribe recordings{number}. Set TRANSCRIPTION_MODEL in .env"
            " to a model of a server that can, or leave it out, and restart."
        )

    def from_web_page(self) -> ModelError:
        """The error for an answer that is a web page, or whatever else."""
        if self.for_transcription:
            return ModelError(FailureReason.CONFIGURATION, self._no_transcription(), accepted=True)
        return ModelError(
            FailureReason.CONFIGURATION,
            f"{self.server.url_setting} {self.base_url} is a web page, not a model server."
            f" {self._change_url(self._with_v1())}",
        )

    def from_empty_stream(self) -> EmptyStream:
        """The error for a stream that ended before its first event."""
        return EmptyStream(
            f"The model server at {self.base_url} accepted a request and sent nothing. Look at its log; if the context"
            " is too long for it, lower CONTEXT_TOKENS in .env and restart."
        )

    def from_connection(self, error: BaseException, begun: bool) -> ModelError:
        """The error for a connection that failed, broke or fell silent. `begun`: some of the reply had come."""
        # The SDK lets the error for something that is no HTTP through.
        if isinstance(error, openai.APIConnectionError | aiohttp.ClientResponseError):
            return self._never_answered(error)
        chain = list(links(error))
        cause = chain[min(1, len(chain) - 1)]
        said, advice = self._clean(str(cause)), ""
        if not isinstance(error, TimeoutError):
            # What came and could not be read may be quoted there.
            reason = said if isinstance(cause, OSError) else type(cause).__name__
            advice = "The model server stopped in the middle of a reply. Look at its log or its status page."
            detail = f"{advice} The reason: {reason}"
        elif begun:
            detail = (
                f"The model server sent nothing for {self.timeouts.silence:g} s in the middle of a reply. Look at its"
                f" log; if it only needs longer, raise SILENCE_TIMEOUT in {self._place('SILENCE_TIMEOUT')} and restart."
            )
        else:
            detail = (
                f"The model server sent no reply within {self.timeouts.first_delta:g} s. Look at its log; if"
                f" it only needs longer, raise FIRST_DELTA_TIMEOUT in {self._place('FIRST_DELTA_TIMEOUT')} and restart."
            )
        return ModelError(FailureReason.UNREACHABLE, detail, advice=advice, server_message=said, accepted=True)

    def _never_answered(self, error: BaseException) -> ModelError:
        chain = list(links(error))
        if any(isinstance(link, httpx2.UnsupportedProtocol | httpx2.InvalidURL) for link in chain):
            return ModelError(
                FailureReason.CONFIGURATION,
                f"{self.server.url_setting} {self.base_url} is not a valid address. {self._change_url(None)}",
            )
        found = failure(error)
        # What could not be read as an answer is quoted there.
        said = self._clean(str(chain[-1])) if found.cause is Cause.NO_HTTP else ""
        return self._no_answer(found, said, accepted=not any(isinstance(link, _NEVER_CONNECTED) for link in chain))

    def _no_answer(self, found: Failure, said: str = "", *, accepted: bool = False) -> ModelError:
        reason = found.reason
        if found.cause is Cause.TIMEOUT:
            reason = f"no connection within CONNECT_TIMEOUT, {self.timeouts.connect:g} s"
        through = f" through the proxy {_origin(self.proxy)}" if self.proxy else ""
        advice = f"The model server at {self.base_url} cannot be reached{through}. {self._remedy(found.cause)}"
        return ModelError(
            FailureReason.CONFIGURATION if found.cause in LASTING else FailureReason.UNREACHABLE,
            f"{advice} The reason: {reason}",
            advice=advice,
            server_message=said,
            accepted=accepted,
            nothing_answered=found.cause in NOTHING_ANSWERED,
        )

    def _remedy(self, cause: Cause) -> str:
        url = self.server.url_setting
        place = self._place(url)
        scheme, _, rest = self.base_url.partition("://")
        other = f"{'http' if scheme == 'https' else 'https'}://{rest}"
        match cause:
            case Cause.NO_TLS | Cause.ONLY_TLS:
                return f"Set {self._url_of(other)} in {place} and restart."
            case Cause.TIMEOUT:
                return f"Start it, or correct {url} or CONNECT_TIMEOUT in {place} and restart."
            case Cause.NO_HTTP | Cause.CLOSED:
                return f"Look at its log, or try {self._url_of(other)} in {place} and restart."
            case Cause.WRONG_NAME:
                return f"Change the host in {url} in {place} to the one in its certificate, and restart."
        return REMEDIES.get(cause, f"Start it, or correct {url} in {place} and restart.")

    def _change_url(self, better: str | None) -> str:
        """What to do about an address that is wrong; `better` would work, as far as one can tell."""
        url = self.server.url_setting
        if better is not None:
            return f"Set {self._url_of(better)} in {self._place(url)} and restart."
        return f"Correct {url} in {self._place(url)} and restart. Most end in /v1, as http://localhost:11434/v1 does."

    def _url_of(self, address: str) -> str:
        """The setting of the URL with another address."""
        url = self.server.url_setting
        return f"{url}={address}" if url == "OPENAI_BASE_URL" else f"the address {address} of this server in {url}"

    def _with_v1(self) -> str | None:
        """The address with the path that most servers have, where it has none."""
        return None if urlsplit(self.base_url).path.strip("/") else f"{self.base_url}/v1"

    def _place(self, setting: str) -> str:
        return self.server.origins.place_of(setting)

    def _clean(self, text: str) -> str:
        """The text in one line of limited length, without the key, which some servers repeat."""
        if self.key:
            text = text.replace(self.key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
        return text if len(text) <= 300 else text[:299] + "…"


def _origin(url: str) -> str:
    """The scheme, host and port of a URL. Its path and what follows may hold secrets."""
    try:
        pieces = urlsplit(url)
        port = f":{pieces.port}" if pieces.port else ""
    except ValueError:
        return "another address"
    if not pieces.hostname:
        return "another path"
    return f"{pieces.scheme}://{pieces.hostname}{port}".removeprefix("://")
