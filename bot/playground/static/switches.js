// The switches of the drawer: the settings, and those that make trouble for the bot.

import { tell } from "./acts.js";
import { byId, closest, h } from "./dom.js";
import { on, state } from "./state.js";

const box = byId("switches");
const settings = byId("settings");
const SETTINGS = "Settings";

export function setUpSwitches() {
  for (const each of [box, settings]) each.addEventListener("click", press);
  on("switches", draw);
}

async function press(event) {
  const button = closest(event, "[data-name]");
  const chosen = state.switches.find((each) => each.name === button?.dataset.name);
  // Not `disabled` meanwhile, which would take the focus away.
  if (!chosen || button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  await tell("fault", { name: chosen.name, on: chosen.kind === "action" || !chosen.on, channel: state.channel });
  button.ariaBusy = null;
}

/** Built once; after that only what changed is written, so that the focus stays. */
function draw() {
  const names = state.switches.map((each) => each.name).join();
  if (box.dataset.names !== names) {
    box.dataset.names = names;
    settings.replaceChildren(...state.switches.filter((each) => each.group === SETTINGS).map(row));
    const groups = [...new Set(state.switches.map((each) => each.group))].filter((each) => each !== SETTINGS);
    box.replaceChildren(
      ...groups.map((group) =>
        h(
          "section",
          { class: "switch-group" },
          h("h3", {}, group),
          state.switches.filter((each) => each.group === group).map(row),
        ),
      ),
    );
  }
  const toggles = state.switches.filter((each) => each.kind === "toggle");
  for (const each of toggles) {
    const place = each.group === SETTINGS ? settings : box;
    place.querySelector(`[data-name="${CSS.escape(each.name)}"]`)?.setAttribute("aria-checked", `${each.on}`);
  }
  const count = toggles.filter((each) => each.on && each.group !== SETTINGS).length;
  byId("switches-on").textContent = count ? `${count} on` : "";
}

function row(each) {
  const toggle = each.kind === "toggle";
  return h(
    "button",
    {
      type: "button",
      class: "switch",
      data: { name: each.name },
      role: toggle ? "switch" : null,
      "aria-checked": toggle ? `${each.on}` : null,
    },
    h("span", { class: "switch-label" }, each.label),
    toggle
      ? h("span", { class: "track", "aria-hidden": "true" })
      : h("span", { class: "go", "aria-hidden": "true" }, "Try it"),
    each.hint && h("small", {}, each.hint),
  );
}
