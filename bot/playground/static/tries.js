// Suggestions above the composer, in every place where one can write. A click sends one.

import { sendNow } from "./composer.js";
import { byId, h, roving } from "./dom.js";
import { me, on, place, state } from "./state.js";

const FOR_DEMO = (name) => [`my name is ${name}`, "what is my name?", "what did I say first?", "code", "long", "help"];
const FOR_MODELS = ["hello", "what can you do?", "what did I say first?"];
const row = byId("tries");
let drawn = null;

export function setUpTries() {
  roving(row);
  for (const topic of ["people", "me", "channel", "places"]) on(topic, draw);
}

function draw() {
  const here = place();
  row.hidden = !here?.writable || !me();
  if (row.hidden) return;
  const mention = here.kind === "dm" ? "" : `@${state.bot.name} `;
  const texts = state.model.demo ? FOR_DEMO(me().name) : FOR_MODELS;
  const key = JSON.stringify([mention, texts]);
  if (key === drawn) return;
  drawn = key;
  row.replaceChildren(
    ...texts.map((text, index) =>
      h(
        "button",
        {
          type: "button",
          class: "try",
          tabindex: index ? "-1" : "0",
          on: { click: () => sendNow(mention + text) },
        },
        mention && h("b", {}, mention),
        text,
      ),
    ),
  );
  row.scrollLeft = 0;
}
