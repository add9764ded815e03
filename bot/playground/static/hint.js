// A hint for somebody who forgot to mention the bot, with a button that adds the mention.

import { ask } from "./acts.js";
import { byId, h, iconButton } from "./dom.js";
import { on, state } from "./state.js";
import { sayWhy } from "./toast.js";

/** For a little less than the two minutes in which the bot answers a message that an edit has addressed to it. */
const SHOWN_MS = 110_000;
const box = byId("hint");
/** The channels in which somebody has closed the hint: there people talk among themselves. */
const quiet = new Set();
let hides = 0;

export function setUpHint() {
  for (const topic of ["channel", "me"]) on(topic, hideHint);
}

export function hideHint() {
  clearTimeout(hides);
  box.replaceChildren();
}

/** Offer to mention the bot in a message that was just sent without it, unless it may read such messages. */
export function showHint(channel, message, content) {
  if (state.switches.some((each) => each.name === "message_content" && each.on)) return;
  const { name, id } = state.bot;
  const add = () => {
    leave();
    ask("edit", { message, content: `<@${id}> ${content}`.trim() }).catch(sayWhy);
  };
  const button = h("button", { type: "button", class: "small-button", on: { click: add } }, `Add @${name}`);
  show(channel, `${name} only answers messages that mention it.`, button);
}

/** Say how a voice message, which can mention nobody, reaches the bot. */
export function showVoiceHint(channel) {
  show(channel, `In a channel, ${state.bot.name} only gets voice messages that reply to it.`);
}

function show(channel, text, ...buttons) {
  hideHint();
  if (quiet.has(channel)) return;
  const close = () => {
    leave();
    quiet.add(channel);
  };
  box.replaceChildren(
    h("span", {}, text),
    ...buttons,
    iconButton("close", "Close this hint", { on: { click: close } }),
  );
  hides = setTimeout(hideHint, SHOWN_MS);
}

function leave() {
  hideHint();
  byId("input").focus();
}
