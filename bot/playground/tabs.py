"""Open browser tabs.

Each tab is told what has changed since its last update, no faster than it reads. A tab keeps no queue of changes but
marks what has changed. Its sender later reads the latest state of each marked part. A slow tab therefore gets fewer
frames and never builds up a backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator

from aiohttp import WSMsgType, web

from bot.playground import access
from bot.playground.acts import AWAITING, Acts
from bot.playground.asking import Ask, Declined, Malformed
from bot.playground.private import reader
from bot.playground.stage import Stage
from bot.standin.entities import Channel, Json, Message, User
from bot.standin.interactions import Interaction
from bot.texts import playground as words

log = logging.getLogger(__name__)

_PAUSE = 1 / 30
"""Seconds between two rounds of frames."""
_PATIENCE = 10.0
"""Seconds that a tab may take to read a frame."""
_MAX_TABS = 32
_POSTS = 20
"""Number of answers that a tab may leave unread before its next request has to wait."""
_AWAITING = 8
"""Number of a tab's requests that may wait for the bot before its next request has to wait."""
_TYPING_CHECK = 1.0
"""Seconds between two checks of who is typing. No event tells that somebody has stopped."""


class Tab:
    """One browser tab: its websocket, its current person and its current channel."""

    def __init__(self, stage: Stage, acts: Acts, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.user: User = stage.discord.ada
        self.channel: Channel | None = None
        self.forms: dict[int, Interaction] = {}
        self._stage = stage
        self._acts = acts
        self._socket = socket
        self._request = request
        self._wake = asyncio.Event()
        self._read = asyncio.Event()
        self._awaiting: set[asyncio.Task[None]] = set()
        self._ended = False
        self._posts: list[Json] = [stage.hello(None)]
        self._entries: dict[str, Json] = stage.wire.entries.copy()
        self._reopen = False
        self._messages: dict[int, Message] = {}
        self._told: dict[str, object] = {}

    # What has changed

    def speak_as(self, user: User) -> None:
        """Switch the tab to another person."""
        self.user = user
        self.forms.clear()
        self._told.pop("places", None)
        self._told.pop("commands", None)
        channel, self.channel = self.channel, None
        if channel is not None and access.sees(self._stage.discord.world, user, channel):
            self.look_at(channel)

    def look_at(self, channel: Channel) -> None:
        """Switch the tab to a channel, or reload the current one."""
        self.channel = channel
        self._reopen = True
        self._messages.clear()
        self._told.pop("typing", None)
        self._told.pop("commands", None)
        self.wake()

    def post(self, frame: Json) -> None:
        """Send a frame to the tab outside its regular updates."""
        self._posts.append(frame)
        self.wake()

    def notice(self, message: Message) -> None:
        """Mark a message as new, changed or deleted."""
        if message.channel is self.channel and reader(message) in (None, self.user.id):
            self._messages[message.id] = message
            self.wake()

    def note(self, entry: Json) -> None:
        """Mark a wire entry as new or changed."""
        self._entries[entry["id"]] = entry
        if len(self._entries) > len(self._stage.wire.entries):
            del self._entries[next(iter(self._entries))]
        self.wake()

    def wake(self) -> None:
        """Make the sender look for changes."""
        self._wake.set()

    def end(self) -> None:
        """Tell the tab that the playground ends, and close it."""
        self._ended = True
        self.wake()

    # Reading

    async def serve(self) -> None:
        """Serve the tab until it is closed or the playground ends."""
        sender = asyncio.create_task(self._send())
        try:
            async for frame in self._socket:
                if frame.type is not WSMsgType.TEXT:
                    break
                await self._take(Ask.parse(frame.data))
                # Frames that have already arrived are read without a pause, so other tasks need a turn here.
                await asyncio.sleep(0)
                while len(self._posts) > _POSTS and not sender.done():
                    self._read.clear()
                    await self._read.wait()
        except Malformed:
            log.warning("closed a tab that sent something no page sends")
        finally:
            for task in (sender, *self._awaiting):
                task.cancel()
            await asyncio.gather(sender, *self._awaiting, return_exceptions=True)
            await self._socket.close()

    async def _take(self, ask: Ask) -> None:
        if ask.do not in AWAITING:
            await self._answer(ask)
            return
        task = asyncio.create_task(self._answer(ask))
        self._awaiting.add(task)
        task.add_done_callback(self._awaiting.discard)
        if len(self._awaiting) >= _AWAITING:
            await asyncio.wait(self._awaiting, return_when=asyncio.FIRST_COMPLETED)

    async def _answer(self, ask: Ask) -> None:
        error: str | None = None
        more: Json | None = None
        try:
            more = await self._acts.do(self, ask)
        except Declined as declined:
            error = str(declined)
        except PermissionError:
            error = words.MAY_NOT_WRITE
        except Exception:
            log.exception("a tab's request failed because of a bug: %s", ask.do)
            error = words.OWN_DEFECT
        self.post({"t": "done", "n": ask.number, "error": error, **(more or {})})

    # Telling

    async def _send(self) -> None:
        try:
            while "ended" not in self._told:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TYPING_CHECK if self._told.get("typing") else None):
                        await self._wake.wait()
                self._wake.clear()
                for frame in self._frames():
                    async with asyncio.timeout(_PATIENCE):
                        await self._socket.send_str(json.dumps(frame, separators=(",", ":")))
                self._read.set()
                await asyncio.sleep(0 if self._ended else _PAUSE)
            await self._socket.close()
        except (TimeoutError, ConnectionError):
            # The tab does not read or has gone. A regular close would wait for it as well.
            self._cut()
        except Exception:
            log.exception("closed a tab because of a bug")
            self._cut()
        finally:
            self._read.set()

    def _cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    def _frames(self) -> Iterator[Json]:
        """Yield the frames that are due now. Each frame is made after the previous one has been read."""
        stage, view = self._stage, self._stage.view
        view.forget_names()
        posts, self._posts = self._posts, []
        yield from (post for post in posts if post["t"] == "hello")
        yield from self._if_new("places", view.places(self.user))
        yield from self._channel_frames()
        if self._entries:
            entries, self._entries = self._entries, {}
            yield {"t": "wire", "list": list(entries.values())}
        yield from self._if_new("switches", {"list": stage.switches.shown(self.channel)})
        yield from self._if_new("bot", {"state": stage.runner.state})
        yield from (post for post in posts if post["t"] != "hello")
        if self._ended:
            yield from self._if_new("ended", {})

    def _channel_frames(self) -> Iterator[Json]:
        channel, view = self.channel, self._stage.view
        if channel is None:
            return
        place = {"channel": str(channel.id)}
        if self._reopen:
            self._reopen = False
            messages, more = view.page(self.user, channel)
            self._messages.clear()
            yield {"t": "opened", **place, "messages": messages, "more": more}
        if self._messages:
            changed, self._messages = self._messages, {}
            if gone := [str(each.id) for each in changed.values() if each.deleted]:
                yield {"t": "gone", **place, "ids": gone}
            if there := [view.message(each) for each in changed.values() if not each.deleted]:
                yield {"t": "messages", **place, "list": there}
        names = view.typing(self.user, channel)
        if self._told.get("typing", []) != names:
            self._told["typing"] = names
            yield {"t": "typing", **place, "names": names}
        yield from self._if_new("commands", {"list": view.commands(self.user, channel)})

    def _if_new(self, kind: str, body: Json) -> Iterator[Json]:
        if self._told.get(kind) != body:
            self._told[kind] = body
            yield {"t": kind, **body}


class Tabs:
    """All open tabs. Each tab is told of every change that may concern it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._acts = Acts(stage)
        self._open: dict[Tab, asyncio.Task[None] | None] = {}
        stage.discord.world.on_message.append(self._notice)
        stage.discord.world.on_change.append(self.wake)
        stage.wire.on_entry.append(self._note)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve a tab's connection from its first frame to its end."""
        if len(self._open) >= _MAX_TABS:
            return web.Response(status=503, text=words.TOO_MANY_TABS)
        socket = web.WebSocketResponse(heartbeat=30, compress=False, max_msg_size=2**18, timeout=0.2)
        await socket.prepare(request)
        tab = Tab(self._stage, self._acts, socket, request)
        self._open[tab] = asyncio.current_task()
        tab.wake()
        try:
            await tab.serve()
        finally:
            del self._open[tab]
        return socket

    def wake(self) -> None:
        """Tell every tab that something has changed."""
        for tab in self._open:
            tab.wake()

    async def end(self) -> None:
        """Tell all tabs that the playground ends, and wait a moment until they have read it."""
        serving = [task for task in self._open.values() if task is not None]
        for tab in tuple(self._open):
            tab.end()
        if serving:
            await asyncio.wait(serving, timeout=0.3)

    def _notice(self, message: Message) -> None:
        shown_in = [each for each in message.channel.messages.values() if each.reply_to is message]
        parent = message.channel.parent
        if parent is not None and (starter := parent.messages.get(message.channel.id)):
            shown_in.append(starter)
        for tab in self._open:
            for each in (message, *shown_in):
                tab.notice(each)

    def _note(self, entry: Json) -> None:
        for tab in self._open:
            tab.note(entry)
