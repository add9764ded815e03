// The composer: text, reply, files, commands; and what is kept of it for each channel.

import { ask, canEdit, commandsOf, isMine } from "./acts.js";
import { Completion, suggestionsFor } from "./completion.js";
import { byId, closest, h, iconButton, tab } from "./dom.js";
import { codePoints } from "./format.js";
import { hideHint, setUpHint, showHint, showVoiceHint } from "./hint.js";
import { noNewLine, timeline, toPresent, viewOf } from "./log.js";
import { toDiscord } from "./names.js";
import { Recorder } from "./recorder.js";
import { SlashForm } from "./slash.js";
import { on, place, state } from "./state.js";
import { sayWhy, toast } from "./toast.js";
import { acceptFiles, Uploads, uploadVoice } from "./uploads.js";

const TYPING_EVERY_MS = 8000;
const COUNTER_FROM = 200;

const form = byId("composer");
/** @type {HTMLTextAreaElement} */
const input = byId("input");
const counter = byId("counter");
const replyBar = byId("reply-bar");
/** @type {HTMLButtonElement} */
const send = byId("send");
/** @type {HTMLButtonElement} */
const attach = byId("attach");
/** @type {HTMLButtonElement} */
const microphone = byId("microphone");

const completion = new Completion();
const slash = new SlashForm(completion, (refocus) => {
  showInput(true);
  setText(drafts.get(state.channel) ?? "");
  if (refocus) input.focus();
});
const recorder = new Recorder((refocus) => {
  showInput(!recorder.isOpen);
  refresh();
  if (refocus) focusComposer();
});
const uploads = new Uploads(refresh, (file) => sendVoice(file));
const drafts = new Map(Object.entries(tab.get("drafts", {})));
let replyTo = null;
let ping = true;
let typedAt = 0;
let sending = false;
/** @type {(message: any) => void} */
let editLast = () => {};

/** `edit(message)` begins to edit a message in its place. */
export function setUpComposer({ edit }) {
  editLast = edit;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (slash.isOpen) slash.run();
    else if (recorder.isOpen) recorder.sendBy(sendVoice);
    else submit();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") recorder.close();
  });
  microphone.addEventListener("click", () => recorder.open());
  input.addEventListener("input", onInput);
  input.addEventListener("keydown", onKey);
  input.addEventListener("blur", () => completion.hide());
  input.addEventListener("click", suggest);
  acceptFiles(input, (files) => uploads.add(files));
  setUpHint();
  document.addEventListener("keydown", typeAnywhere);
  on("places", refresh);
  // What is offered is that of the person and the place of before until the commands of these have come.
  on("commands", () => {
    if (document.activeElement === input && input.value.startsWith("/")) suggest();
  });
  // Somebody else may not have that command.
  on("me", () => {
    slash.close({ refocus: false });
    recorder.close({ refocus: false });
  });
  on("channel", () => {
    slash.close({ refocus: false });
    recorder.close({ refocus: false });
    cancelReply();
    setText(drafts.get(state.channel) ?? "");
    refresh();
  });
}

export function focusComposer() {
  if (slash.isOpen) slash.focus();
  else if (recorder.isOpen) send.focus();
  else if (!input.disabled) input.focus();
}

/** Who types where nothing takes it is brought to the composer before the character is written. */
function typeAnywhere(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const writes = event.key === "Dead" || [...event.key].length === 1;
  // Space scrolls, and presses what has the focus.
  if (!writes || event.key === " " || closest(event, "input, textarea, select, dialog, .menu")) return;
  const { left, top } = form.getBoundingClientRect();
  // What lies over the composer keeps the keys.
  if (form.contains(document.elementFromPoint(left + 20, top + 20))) focusComposer();
}

/** Send a text at once. What is being written stays as it is. */
export async function sendNow(text) {
  if (sending || input.disabled) return;
  sending = true;
  toPresent();
  noNewLine();
  try {
    await say(state.channel, toDiscord(text));
  } catch (error) {
    sayWhy(error);
  } finally {
    sending = false;
  }
}

export function addMention(label) {
  input.focus();
  insert(0, `${input.selectionStart && !/\s$/.test(input.value.slice(0, input.selectionStart)) ? " " : ""}${label} `);
}

export function startReply(message) {
  cancelReply();
  replyTo = message;
  ping = !isMine(message);
  viewOf(message.id)?.element.classList.add("replying");
  drawReply();
  focusComposer();
}

function cancelReply() {
  if (replyTo) viewOf(replyTo.id)?.element.classList.remove("replying");
  replyTo = null;
  replyBar.hidden = true;
}

function drawReply() {
  const setPing = () => {
    ping = !ping;
    drawReply();
    /** @type {HTMLElement} */ (replyBar.querySelector(".ping-switch")).focus();
  };
  replyBar.replaceChildren(
    h(
      "span",
      { class: "to" },
      "Replying to ",
      h("span", { class: "name", hue: replyTo.author.hue }, replyTo.author.name),
    ),
    ...(isMine(replyTo)
      ? []
      : [
          h(
            "button",
            {
              type: "button",
              class: "ping-switch",
              role: "switch",
              "aria-checked": `${ping}`,
              "aria-label": `Ping ${replyTo.author.name}`,
              title: `Ping ${replyTo.author.name}`,
              on: { click: setPing },
            },
            ping ? "@ ON" : "@ OFF",
          ),
        ]),
    iconButton("close", "Cancel the reply", {
      on: {
        click: () => {
          cancelReply();
          input.focus();
        },
      },
    }),
  );
  replyBar.hidden = false;
}

// Sending

async function submit() {
  if (sending || input.disabled) return;
  const text = input.value;
  const content = toDiscord(text).trim();
  if (!content && !uploads.count) return;
  if (codePoints(content) > state.limits.content)
    return toast(`Discord allows ${state.limits.content.toLocaleString("en")} characters. Shorten your message.`);
  if (uploads.busy) return toast("Your files are still uploading. Send again when they are done.", "info");
  sending = true;
  const channel = state.channel;
  const files = uploads.take();
  const reply = replyTo;
  const pings = reply !== null && ping && !isMine(reply);
  setText("");
  drafts.delete(channel);
  cancelReply();
  completion.hide();
  keepDrafts();
  toPresent();
  noNewLine();
  typedAt = 0;
  try {
    await say(channel, content, { reply, pings, files });
  } catch (error) {
    sayWhy(error);
    if (state.channel === channel && !input.value) {
      setText(text);
      uploads.putBack(files);
      if (reply) startReply(reply);
    } else drafts.set(channel, text);
  } finally {
    sending = false;
  }
}

/** Send a sound as a voice message, which has neither text nor other files: what is being written stays. */
async function sendVoice(source) {
  if (sending || input.disabled) return false;
  sending = true;
  const channel = state.channel;
  const reply = replyTo;
  const pings = reply !== null && ping && !isMine(reply);
  try {
    const file = await uploadVoice(source);
    toPresent();
    noNewLine();
    await say(channel, "", { reply, pings, files: [file], isVoice: true });
    if (replyTo === reply) cancelReply();
    return true;
  } catch (error) {
    sayWhy(error);
    return false;
  } finally {
    sending = false;
  }
}

async function say(channel, content, { reply = null, pings = false, files = [], isVoice = false } = {}) {
  hideHint();
  const { message, heard } = await ask("say", {
    channel,
    content,
    reply_to: reply?.id ?? null,
    ping: pings,
    files: files.map((file) => file.id),
  });
  if (heard || state.channel !== channel) return;
  if (isVoice) showVoiceHint(channel);
  else showHint(channel, message, content);
}

function setText(text) {
  input.value = text;
  grow();
  count();
}

function onInput() {
  grow();
  count();
  if (input.value) drafts.set(state.channel, input.value);
  else drafts.delete(state.channel);
  keepDrafts();
  suggest();
  const now = Date.now();
  if (input.value.trim() && !input.value.startsWith("/") && now - typedAt > TYPING_EVERY_MS) {
    typedAt = now;
    ask("typing", { channel: state.channel }).catch(() => {}); // nobody misses a typing sign
  }
}

function keepDrafts() {
  tab.set("drafts", Object.fromEntries(drafts));
}

function grow() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

function count() {
  const left =
    state.limits.content -
    (input.value.length > state.limits.content - COUNTER_FROM * 2 ? codePoints(toDiscord(input.value).trim()) : 0);
  counter.hidden = left > COUNTER_FROM;
  counter.textContent = `${left}`;
  counter.setAttribute("aria-label", `${left} characters left`);
  counter.classList.toggle("over", left < 0);
  const isEmpty = !input.value.trim() && !uploads.count && !slash.isOpen && !recorder.isOpen;
  send.disabled = input.disabled || left < 0 || isEmpty;
}

// Completion

function suggest() {
  if (input.selectionStart !== input.selectionEnd) return completion.hide();
  const found = suggestionsFor(input.value.slice(0, input.selectionStart), insert, (command) => {
    drafts.delete(state.channel);
    fillIn(command);
  });
  if (found) completion.show(input, found.title, found.items);
  else completion.hide();
}

/** Have a command filled in, in place of the text, which comes back after it. */
function fillIn(command) {
  showInput(false);
  setText("");
  slash.open(command);
  send.disabled = false;
}

/** Show the message box with its buttons, or make room for what stands in its place. */
function showInput(shown) {
  for (const each of [input, attach, microphone]) each.hidden = !shown;
}

/** Begin the command of that name, as somebody does who presses it in a message. */
export function beginCommand(name) {
  const command = commandsOf("slash").find((each) => each.name === name);
  recorder.close({ refocus: false });
  if (!command || input.disabled) return toast(`You can't use /${name} in this channel.`);
  slash.close({ refocus: false });
  fillIn(command);
}

/** Replace the last `length` characters before the caret. */
function insert(length, text) {
  const { selectionStart: at } = input;
  // A space that is there already is not doubled.
  const end = text.endsWith(" ") && input.value[at] === " " ? at + 1 : at;
  input.setRangeText(text, at - length, end, "end");
  onInput();
}

function onKey(event) {
  if (event.isComposing || event.keyCode === 229) return; // an input method takes this Enter for itself
  if (completion.onKey(event)) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit();
  } else if (event.key === "Escape" && replyTo) {
    cancelReply();
  } else if (event.key === "ArrowUp" && !input.value && !event.altKey && !event.shiftKey) {
    const last = timeline.list.findLast(canEdit);
    if (!last) return;
    event.preventDefault();
    editLast(last);
  }
}

function refresh() {
  const here = place();
  const writable = Boolean(here?.writable);
  input.disabled = !writable;
  attach.disabled = !writable;
  microphone.disabled = !writable;
  form.classList.toggle("closed", Boolean(here) && !writable);
  const name = here
    ? here.kind === "dm"
      ? `@${here.name}`
      : here.kind === "text"
        ? `#${here.name}`
        : `“${here.name}”`
    : "";
  input.placeholder = !here
    ? ""
    : writable
      ? `Message ${name}`
      : here.kind === "forum"
        ? "Open a post, or write a new one"
      : here.locked
        ? "This thread is locked"
        : "You can't write here";
  input.setAttribute("aria-label", input.placeholder);
  count();
}
