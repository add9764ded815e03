// The right-hand panels, one at a time: the people, and what Discord sees.

import { commandsOf, runContextCommand, speaksAs } from "./acts.js";
import { addMention } from "./composer.js";
import { avatar, browser, byId, closest, h, iconButton } from "./dom.js";
import { openMenu } from "./menu.js";
import { mentionable } from "./names.js";
import { rankIcon } from "./sidebar.js";
import { on, place, state } from "./state.js";

const PANELS = { people: "people-button", drawer: "drawer-button" };
/** @type {(open: boolean) => void} */
let onDrawer = () => {};
/** @type {(id: string) => void} */
let become = () => {};

/** `drawer(open)` hears whether the drawer is seen; `become(person)` speaks as somebody. */
export function setUpPanels(wired) {
  onDrawer = wired.drawer;
  become = wired.become;
  for (const [panel, button] of Object.entries(PANELS))
    byId(button).addEventListener("click", () => showPanel(byId(panel).hidden ? panel : null));
  byId("drawer-close").addEventListener("click", () => showPanel(null));
  for (const panel of Object.keys(PANELS)) {
    byId(panel).addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      showPanel(null);
      byId(PANELS[panel]).focus();
    });
  }
  byId("people").addEventListener("click", (event) => {
    if (closest(event, "[data-close]")) return showPanel(null);
    const button = closest(event, ".person");
    if (button) personMenu(button.dataset.id, button);
  });
  for (const topic of ["people", "me", "bot"]) on(topic, drawPeople);
  // On a small screen a panel covers everything, so it waits to be asked for.
  if (matchMedia("(min-width: 1101px)").matches) showPanel(browser.get("panel"));
}

function showPanel(name) {
  for (const [panel, button] of Object.entries(PANELS)) {
    byId(panel).hidden = panel !== name;
    byId(button).setAttribute("aria-expanded", `${panel === name}`);
  }
  browser.set("panel", name);
  onDrawer(name === "drawer");
}

function drawPeople() {
  const people = [...state.people.values()];
  const group = (title, members) => (members.length ? [h("h3", {}, title), ...members.map(row)] : []);
  byId("people").replaceChildren(
    h("header", { class: "panel-head" }, h("h2", {}, "People"), iconButton("close", "Close", { data: { close: "" } })),
    h(
      "div",
      { class: "people-list" },
      ...group(
        "Apps",
        people.filter((person) => person.bot),
      ),
      ...group(
        "Moderation",
        people.filter((person) => person.rank === "owner" || person.rank === "moderator"),
      ),
      ...group(
        "Members",
        people.filter((person) => person.rank === "member"),
      ),
    ),
  );
}

function row(person) {
  const presence = person.bot ? `presence ${state.botState}` : "";
  return h(
    "button",
    { type: "button", class: "person", data: { id: person.id }, "aria-haspopup": "menu" },
    h("span", { class: presence }, avatar(person, "small")),
    h(
      "span",
      { class: "person-text" },
      h(
        "span",
        { class: "name", hue: person.hue },
        person.name,
        " ",
        person.bot ? h("span", { class: "app-tag" }, "APP") : rankIcon(person),
      ),
      h("small", {}, speaksAs(person) ? "you, in this tab" : `@${person.username}`),
    ),
  );
}

/** What can be done with a person. */
export function personMenu(id, at) {
  const person = state.people.get(id);
  if (!person) return;
  const items = [];
  const label = mentionable().find((each) => each.person?.id === person.id)?.label;
  if (label && place()?.writable) items.push({ label: "Mention", icon: "at", run: () => addMention(label) });
  if (!person.bot && !speaksAs(person))
    items.push({ label: `Speak as ${person.name}`, icon: "people", run: () => become(person.id) });
  const apps = commandsOf("user");
  if (apps.length)
    items.push(
      "line",
      { title: "Apps" },
      ...apps.map((command) => ({
        label: command.name,
        icon: "app",
        run: () => runContextCommand(command, { user: person.id }),
      })),
    );
  openMenu(at, [{ title: `${person.name} · @${person.username}` }, ...items], { label: person.name });
}
