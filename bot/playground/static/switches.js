// The switches that make trouble for the bot.

import { tell } from "./acts.js";
import { byId, closest, h } from "./dom.js";
import { on, state } from "./state.js";

const box = byId("switches");

export function setUpSwitches() {
  box.addEventListener("click", async (event) => {
    const button = closest(event, "[data-name]");
    const chosen = state.switches.find((each) => each.name === button?.dataset.name);
    // Not `disabled` meanwhile, which would take the focus away.
    if (!chosen || button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    await tell("fault", { name: chosen.name, on: chosen.kind === "action" || !chosen.on, channel: state.channel });
    button.ariaBusy = null;
  });
  on("switches", draw);
}

/** Built once; after that only what changed is written, so that the focus stays. */
function draw() {
  const names = state.switches.map((each) => each.name).join();
  if (box.dataset.names !== names) {
    box.dataset.names = names;
    const groups = [...new Set(state.switches.map((each) => each.group))];
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
  for (const each of state.switches) {
    if (each.kind === "toggle")
      box.querySelector(`[data-name="${CSS.escape(each.name)}"]`)?.setAttribute("aria-checked", `${each.on}`);
  }
  const count = state.switches.filter((each) => each.kind === "toggle" && each.on).length;
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
