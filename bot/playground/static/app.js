// The page: what the server says goes to where it belongs, and what concerns the whole page is decided here.

import { ask, tell, useConnection } from "./acts.js";
import { setUpBeginning, showBeginning } from "./beginning.js";
import { beginCommand, focusComposer, setUpComposer, startReply } from "./composer.js";
import { Connection } from "./connection.js";
import { quickSwitch, showForm } from "./dialogs.js";
import { byId, isNarrow, tab } from "./dom.js";
import { startEdit, stopEdit } from "./editing.js";
import { setUpFigures } from "./figures.js";
import { setUpHeader, showTyping } from "./header.js";
import * as log from "./log.js";
import { setUpMessageMenu } from "./message_menu.js";
import { fromDiscord } from "./names.js";
import { personMenu, setUpPanels } from "./panels.js";
import { lastSeen, markRead, ordered, setSide, setUpSidebar, startReading } from "./sidebar.js";
import { emit, humans, place, state } from "./state.js";
import { setUpSwitches } from "./switches.js";
import { announce, sayWhy } from "./toast.js";
import { setUpTries } from "./tries.js";
import { putWire, resetWire, setUpWire, watchWire } from "./wire.js";

const SETTLED_MS = 2000;
/** The channel whose messages the log shows; it follows `state.channel` when the server has answered. */
let opened = null;

// People and channels

async function become(id) {
  if (isNarrow()) setSide(false);
  if (state.me === id) return;
  state.me = id;
  tab.set("person", id);
  emit("me");
  await tell("as", { user: id });
  focusComposer();
}

function openChannel(id) {
  if (isNarrow()) setSide(false);
  if (id === state.channel) return log.toPresent();
  setChannel(id);
  tell("open", { channel: id });
  if (!isNarrow()) focusComposer();
}

function setChannel(id) {
  stopEdit();
  state.channel = id;
  tab.set("channel", id);
  emit("channel");
}

function step(by) {
  const all = ordered();
  const at = all.findIndex((each) => each.id === state.channel);
  if (all.length) openChannel(all[(at + by + all.length) % all.length].id);
}

// Frames

const FRAMES = {
  hello(frame) {
    const people = new Map(frame.people.map((person) => [person.id, person]));
    Object.assign(state, {
      guild: frame.guild,
      bot: frame.bot,
      roles: frame.roles,
      model: frame.model,
      limits: frame.limits,
      switches: frame.switches,
      people,
    });
    if (!people.has(frame.bot.id)) people.set(frame.bot.id, frame.bot);
    emit("people");
    emit("switches");
    if (!resumed) begin();
  },
  places(frame) {
    if (frame.as !== state.me) return;
    const kind = place()?.kind;
    state.places = frame.channels;
    startReading();
    if (!place()) leaveFor(frame.channels, kind);
    emit("places");
    drawLogState();
  },
  opened(frame) {
    if (frame.channel !== state.channel) return;
    const seen = opened === frame.channel ? null : lastSeen(frame.channel);
    opened = frame.channel;
    log.show(frame.messages, frame.more, seen);
    read();
  },
  messages(frame) {
    if (frame.channel !== opened || opened !== state.channel) return;
    log.put(frame.list);
    for (const message of frame.list) if (message.author.id !== state.me) settle(message);
    read();
  },
  gone(frame) {
    if (frame.channel === opened) log.remove(frame.ids);
  },
  typing(frame) {
    if (frame.channel === state.channel) showTyping(frame.names);
  },
  commands(frame) {
    state.commands = frame.list;
    emit("commands");
  },
  modal(frame) {
    showForm(
      frame,
      (fields) => ask("submit", { form: frame.form, fields }),
      () => ask("cancel", { form: frame.form }).catch(() => {}),
    );
  },
  wire: (frame) => putWire(frame.list),
  switches(frame) {
    state.switches = frame.list;
    emit("switches");
  },
  bot(frame) {
    state.botState = frame.state;
    emit("bot");
  },
};

/** Whether this connection has said who is speaking and where. */
let resumed = false;

async function begin() {
  resumed = true;
  const wanted = state.me ?? tab.get("person");
  const person = state.people.get(wanted)?.bot === false ? wanted : humans()[0]?.id;
  state.me = person;
  tab.set("person", person);
  emit("me");
  state.channel ??= tab.get("channel");
  const before = state.channel;
  try {
    await ask("as", { user: person });
    // Where that channel is gone, or nothing was remembered, the places have led elsewhere by now.
    if (state.channel !== before || !place()) return;
    if (!opened) emit("channel");
    await ask("open", { channel: before });
  } catch (error) {
    sayWhy(error);
  } finally {
    if (document.activeElement === document.body && !isNarrow()) focusComposer();
  }
}

/** The open channel is not among this person's, who then comes to one of the same kind. */
function leaveFor(channels, kind = "text") {
  const next =
    channels.find((each) => each.kind === kind) ?? channels.find((each) => each.kind === "text") ?? channels[0];
  if (!next) return;
  setChannel(next.id);
  tell("open", { channel: next.id });
}

// What is read, by the eye and by a screen reader

function read() {
  if (opened && !document.hidden && log.isAtEnd())
    markRead(opened, log.timeline.list.findLast((message) => !message.ephemeral)?.id);
}

/** A message that grows is read out once, when it has stopped growing. */
const growing = new Map();

function settle(message) {
  clearTimeout(growing.get(message.id));
  if (Date.now() / 1000 - message.at > 300) return;
  growing.set(
    message.id,
    setTimeout(() => {
      growing.delete(message.id);
      if (!message.thinking) announce(`${message.author.name}: ${fromDiscord(message.raw).slice(0, 500)}`);
    }, SETTLED_MS),
  );
}

function drawLogState() {
  const isHere = opened !== null && opened === state.channel;
  showBeginning(isHere && log.isAtBeginning());
  byId("older").hidden = !(isHere && log.hasOlder());
  byId("jump").hidden = log.isAtEnd();
  const count = log.awayCount();
  byId("jump-text").textContent = count ? `${count} new message${count === 1 ? "" : "s"}` : "Jump to the latest";
}

// Setting up

setUpSidebar({ openChannel, become });
setUpHeader({ openChannel });
setUpBeginning({ openChannel });
setUpComposer({ edit: startEdit });
setUpTries();
setUpMessageMenu({ go: openChannel, reply: startReply, edit: startEdit, person: personMenu, command: beginCommand });
setUpSwitches();
setUpFigures();
setUpWire();
setUpPanels({ drawer: watchWire, become });
log.setUpLog({
  async older() {
    const channel = opened;
    const answer = await ask("older", { channel, before: log.timeline.list[0].id });
    return channel === opened ? log.timeline.prepend(answer.messages, answer.more && answer.messages.length > 0) : 0;
  },
  latest: () => tell("open", { channel: state.channel }),
  moved: () => {
    drawLogState();
    read();
  },
});
byId("jump").addEventListener("click", () => {
  log.toPresent();
  focusComposer();
});
for (const link of document.querySelectorAll(".skip"))
  link.addEventListener("click", (event) => {
    event.preventDefault(); // The address stays as it is.
    if (link.getAttribute("href") === "#log") log.focusLog();
    else focusComposer();
  });
document.addEventListener("visibilitychange", read);
document.addEventListener("keydown", (event) => {
  if (event.altKey && !event.ctrlKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    event.preventDefault();
    step(event.key === "ArrowUp" ? -1 : 1);
  } else if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    quickSwitch(ordered(), openChannel);
  }
});

const connection = new Connection(
  (frame) => FRAMES[frame.t]?.(frame),
  (now) => {
    state.connection = now;
    resumed = false;
    if (now === "open") resetWire();
    emit("connection");
  },
);
useConnection(connection);
