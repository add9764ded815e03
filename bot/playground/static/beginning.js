// What stands where a channel begins: where one is, and what will last.

import { avatar, byId, h, icon } from "./dom.js";
import { place, state } from "./state.js";

let drawn = null;

/** Shown when the log reaches the channel's first message. */
export function showBeginning(visible) {
  const box = byId("beginning");
  box.hidden = !visible;
  const here = place();
  if (!visible || !here) return;
  const key = JSON.stringify([here.kind, here.name, state.bot.name]);
  if (key === drawn) return;
  drawn = key;
  const mark = h(
    "div",
    { class: "beginning-mark" },
    here.kind === "dm" ? avatar(state.bot) : icon(here.kind === "thread" ? "thread" : "hash"),
  );
  const title = here.kind === "dm" ? state.bot.name : here.kind === "thread" ? here.name : `Welcome to #${here.name}`;
  box.replaceChildren(mark, h("h2", {}, title), ...words(here).map((text) => h("p", {}, text)));
}

function words(here) {
  const { name } = state.bot;
  if (here.kind === "thread") return [`${name} remembers this thread apart from its channel.`];
  const lives = `This Discord runs on your computer only. Its messages are gone when you stop it, but ${name} remembers the conversation.`;
  const how =
    here.kind === "dm"
      ? `These are your direct messages with ${name}. You don't need to mention it here.`
      : `Mention @${name} in a message to get an answer.`;
  return [how, lives];
}
