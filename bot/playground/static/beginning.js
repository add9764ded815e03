// What stands where a channel begins: where one is, what will last, and what to try first.

import { fillComposer } from "./composer.js";
import { avatar, byId, h, icon } from "./dom.js";
import { me, place, state } from "./state.js";

const TRIES = (name) => ["what did I say first?", `my name is ${name}`, "code", "long", "help"];
let drawn = null;

/** Shown when the log reaches the channel's first message; suggestions while it is empty. */
export function showBeginning(visible, empty) {
  const box = byId("beginning");
  box.hidden = !visible;
  const here = place();
  if (!visible || !here) return;
  const key = JSON.stringify([here, empty, state.model, state.bot.name, state.me]);
  if (key === drawn) return;
  drawn = key;
  const mark = h(
    "div",
    { class: "beginning-mark" },
    here.kind === "dm" ? avatar(state.bot) : icon(here.kind === "thread" ? "thread" : "hash"),
  );
  const title = here.kind === "dm" ? state.bot.name : here.kind === "thread" ? here.name : `Welcome to #${here.name}`;
  box.replaceChildren(
    mark,
    h("h2", {}, title),
    ...words(here).map((text) => h("p", {}, text)),
    ...(empty && here.writable ? [tries(here)] : []),
  );
}

function words(here) {
  const { name } = state.bot;
  if (here.kind === "thread") return [`${name} keeps a memory of its own for this thread.`];
  const lives = `This Discord lives on your computer. When it stops, its messages go; what ${name} remembers stays.`;
  return here.kind === "dm" ? [`Your direct messages with ${name}. No mention is needed here.`, lives] : [lives];
}

function tries(here) {
  const mention = here.kind === "dm" ? "" : `@${state.bot.name} `;
  const texts = state.model.demo ? TRIES(me().name) : ["what did I say first?", "hello"];
  return h(
    "div",
    { class: "tries" },
    h("span", {}, "Try, and press Enter:"),
    texts.map((text) =>
      h(
        "button",
        { type: "button", class: "try", on: { click: () => fillComposer(mention + text) } },
        mention && h("b", {}, mention),
        text,
      ),
    ),
  );
}
