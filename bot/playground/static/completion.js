// The list that opens above the composer, and what it offers: mentions, channels, commands, an option's values.

import { avatar, byId, closest, h, icon } from "./dom.js";
import { mentionable } from "./names.js";
import { commandsOf } from "./acts.js";
import { humans, placeIcon, RANKS, state } from "./state.js";

const AT_MOST = 25;
const list = byId("completion");

/** One list for all fields of the composer. Items: {label, note, lead, side, run}. */
export class Completion {
  #items = [];
  #at = -1;
  #owner = null;

  constructor() {
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener("click", (event) => {
      const option = closest(event, ".suggestion");
      if (option) this.#choose(Number(option.dataset.index));
    });
    list.addEventListener("pointermove", (event) => {
      const option = closest(event, ".suggestion");
      if (option && Number(option.dataset.index) !== this.#at) this.#select(Number(option.dataset.index));
    });
  }

  get isOpen() {
    return !list.hidden;
  }

  /** Without `select` the list is only an offer: Enter and Tab are not for it until somebody moves in it. `note` stands
   * below the items, or in place of them. */
  show(owner, title, items, { select = true, note = null } = {}) {
    if (!items.length && !note) return this.hide();
    this.#owner = owner;
    this.#items = items.slice(0, AT_MOST);
    list.replaceChildren(
      h("div", { class: "completion-title", role: "presentation" }, title),
      ...this.#items.map((item, index) =>
        h(
          "div",
          {
            class: "suggestion",
            role: "option",
            id: `suggestion-${index}`,
            "aria-selected": "false",
            data: { index: `${index}` },
          },
          item.lead && h("span", { class: "lead" }, item.lead),
          h(
            "span",
            { class: "suggestion-text" },
            h("span", { class: "suggestion-label" }, item.label),
            item.note && h("span", { class: "suggestion-note" }, item.note),
          ),
          item.side && h("span", { class: "suggestion-side" }, item.side),
        ),
      ),
      ...(note ? [h("div", { class: "completion-note", role: "status" }, note)] : []),
    );
    list.hidden = false;
    this.#tellExpanded(true);
    this.#select(select && items.length ? 0 : -1);
    list.scrollTop = 0;
  }

  hide() {
    if (list.hidden) return;
    list.hidden = true;
    this.#tellExpanded(false);
    this.#owner?.removeAttribute("aria-activedescendant");
    this.#owner = null;
  }

  /** True if the key was for the list. */
  onKey(event) {
    if (!this.isOpen || event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return false;
    const count = this.#items.length;
    if (event.key === "ArrowDown" && count) this.#select((this.#at + 1) % count);
    else if (event.key === "ArrowUp" && count) this.#select((Math.max(this.#at, 0) - 1 + count) % count);
    else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey && this.#at >= 0) this.#choose(this.#at);
    else if (event.key === "Escape") this.hide();
    else return false;
    event.preventDefault();
    return true;
  }

  /** Text boxes of several lines have no such state. */
  #tellExpanded(expanded) {
    if (this.#owner?.role === "combobox") this.#owner.ariaExpanded = `${expanded}`;
  }

  #choose(index) {
    const item = this.#items[index];
    this.hide();
    item.run();
  }

  #select(index) {
    this.#at = index;
    const options = list.querySelectorAll(".suggestion");
    for (const [each, option] of options.entries()) option.setAttribute("aria-selected", `${each === index}`);
    if (index < 0) return this.#owner.removeAttribute("aria-activedescendant");
    options[index].scrollIntoView({ block: "nearest" });
    this.#owner.setAttribute("aria-activedescendant", `suggestion-${index}`);
  }
}

const starts = (name, wanted) => name.toLowerCase().startsWith(wanted);
/** Those that begin with what was typed first, then those that hold it. */
function matching(all, names, typed) {
  const wanted = typed.toLowerCase();
  const holds = all.filter((each) => names(each).some((name) => name.toLowerCase().includes(wanted)));
  return [
    ...holds.filter((each) => names(each).some((name) => starts(name, wanted))),
    ...holds.filter((each) => !names(each).some((name) => starts(name, wanted))),
  ];
}

const faceOf = (person) => avatar(person);

/** What a text that ends at the caret asks for: {title, items} or null. `insert(length, text)` replaces its last characters. */
export function suggestionsFor(before, insert, chooseCommand) {
  const command = /^\/([\w-]*(?: [\w-]*){0,2})$/.exec(before);
  if (command) {
    const items = matching(commandsOf("slash"), (each) => [each.name], command[1]).map((each) =>
      commandItem(each, chooseCommand),
    );
    return { title: "Commands", items };
  }
  const mention = /(?:^|[\s(])@([^\s@#]*(?: [^\s@#]+)?)$/.exec(before);
  if (mention) {
    const all = mentionable().filter((each) => each.kind !== "place");
    const items = matching(all, namesOf, mention[1]).map((each) => ({
      ...mentionItem(each),
      run: () => insert(mention[1].length + 1, `${each.label} `),
    }));
    return { title: "People and roles", items };
  }
  const channel = /(?:^|[\s(])#([^\s@#]*)$/.exec(before);
  if (channel) {
    const all = mentionable().filter((each) => each.kind === "place");
    const items = matching(all, (each) => [each.place.name], channel[1]).map((each) => ({
      ...placeItem(each.place),
      run: () => insert(channel[1].length + 1, `${each.label} `),
    }));
    return { title: "Channels", items };
  }
  return null;
}

const namesOf = ({ person, role, label }) => (person ? [label.slice(1), person.username] : [role.name]);

function mentionItem({ label, person, kind }) {
  if (kind === "role") return { label, lead: icon("people"), side: "Role" };
  return {
    label: label.slice(1),
    lead: faceOf(person),
    side: person.bot ? "App" : (RANKS[person.rank] ?? person.username),
  };
}

const placeItem = (place) => ({
  label: place.name,
  lead: icon(placeIcon(place)),
  side: { thread: "Thread", category: "Category" }[place.kind],
});

function commandItem(command, choose) {
  const options = command.options.map((option) =>
    h("span", { class: "arg" }, option.required ? option.name : `${option.name}?`),
  );
  return {
    label: h("span", { class: "command" }, `/${command.name}`, ...options),
    note: command.description,
    lead: icon("slash"),
    side: state.bot.name,
    run: () => choose(command),
  };
}

const plain = (label, value, rest = {}) => ({ label, value, ...rest });
const people = () =>
  [state.people.get(state.bot.id), ...humans()]
    .filter(Boolean)
    .map((person) => plain(person.name, person.id, { lead: faceOf(person), side: person.username }));
const roles = () => state.roles.map((role) => plain(role.name, role.id, { lead: icon("people"), side: "Role" }));

/** What an option of a command can be: [{label, value, …item}], or null where it is free text. */
export function valuesFor(option, typed) {
  let all = null;
  if (option.choices) all = option.choices.map(({ name, value }) => plain(name, `${value}`));
  else if (option.type === "boolean") all = [plain("True", "true"), plain("False", "false")];
  else if (option.type === "user") all = people();
  else if (option.type === "role") all = roles();
  else if (option.type === "mentionable") all = [...people(), ...roles()];
  else if (option.type === "channel")
    all = state.places
      .filter((place) => place.kind !== "dm" && (option.channel_types?.includes(place.type) ?? true))
      .map((place) => plain(place.name, place.id, placeItem(place)));
  return all && matching(all, (each) => [each.label], typed.replace(/^[@#]/, ""));
}
