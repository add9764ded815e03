// A command being filled in: its name, then a small labelled field for each option.

import { ask } from "./acts.js";
import { valuesFor } from "./completion.js";
import { byId, h } from "./dom.js";
import { state } from "./state.js";
import { sayWhy } from "./toast.js";

const form = byId("slash-form");

export class SlashForm {
  #command = null;
  #fields = [];
  #completion;
  #onClose;
  #hint = h("span", { class: "slash-hint", id: "slash-hint", role: "status" });
  #running = false;

  constructor(completion, onClose) {
    this.#completion = completion;
    this.#onClose = onClose;
    form.addEventListener("keydown", (event) => this.#onKey(event));
    form.addEventListener("input", (event) => this.#suggest(event.target));
    form.addEventListener("focusin", (event) => this.#suggest(event.target));
    form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || this.#completion.hide());
  }

  get isOpen() {
    return this.#command !== null;
  }

  open(command) {
    this.#command = command;
    this.#fields = command.options.map((option) => this.#field(option));
    const name = h("button", { type: "submit", class: "slash-name", title: "Run (Enter)" }, `/${command.name}`);
    this.#say(command.description);
    form.replaceChildren(name, ...this.#fields.map((field) => field.box), this.#hint);
    form.hidden = false;
    (this.#fields[0]?.input ?? name).focus();
  }

  close({ refocus = true } = {}) {
    if (!this.#command) return;
    this.#command = null;
    form.hidden = true;
    this.#completion.hide();
    this.#onClose(refocus);
  }

  /** Send the command. What is missing or not understood is said instead. */
  async run() {
    if (this.#running) return;
    const options = {};
    for (const field of this.#fields) {
      const value = this.#value(field);
      if (value instanceof Error) return this.#complain(field, value.message);
      if (value !== null) options[field.option.name] = value;
    }
    this.#running = true;
    try {
      await ask("slash", { channel: state.channel, command: this.#command.name, options });
      this.close();
    } catch (error) {
      sayWhy(error);
    } finally {
      this.#running = false;
    }
  }

  #field(option) {
    const listed = valuesFor(option, "") !== null;
    const number = option.type === "integer" || option.type === "number";
    const input = h("input", {
      type: "text",
      inputmode: number ? "decimal" : null,
      autocomplete: "off",
      placeholder: option.required ? "needed" : "optional",
      "aria-label": `${option.name}${option.required ? ", needed" : ""}: ${option.description}`,
      "aria-describedby": "slash-hint",
      ...(listed
        ? { role: "combobox", "aria-autocomplete": "list", "aria-controls": "completion", "aria-expanded": "false" }
        : {}),
    });
    return { option, input, box: h("label", { class: "slash-field" }, h("span", {}, option.name), input) };
  }

  /** The option's value as the server takes it, null where it is left out, an Error with what is wrong. */
  #value({ option, input }) {
    const typed = input.value.trim();
    if (!typed) return option.required ? new Error(`“${option.name}” is needed: ${option.description}`) : null;
    const values = valuesFor(option, "");
    if (values) {
      const wanted = typed.replace(/^[@#]/, "").toLowerCase();
      return (
        values.find((each) => each.label.toLowerCase() === wanted)?.value ??
        new Error(`Choose “${option.name}” from the list.`)
      );
    }
    if (option.type === "integer" || option.type === "number") {
      const number = Number(typed);
      if (Number.isNaN(number) || (option.type === "integer" && !Number.isInteger(number)))
        return new Error(`“${option.name}” takes a ${option.type === "integer" ? "whole " : ""}number.`);
      if (option.min !== null && number < option.min) return new Error(`“${option.name}” is at least ${option.min}.`);
      if (option.max !== null && number > option.max) return new Error(`“${option.name}” is at most ${option.max}.`);
    }
    return typed;
  }

  #fieldOf = (input) => this.#fields.find((field) => field.input === input);

  #suggest(target) {
    const field = this.#fieldOf(target);
    if (!field) return this.#completion.hide();
    field.box.classList.remove("bad");
    this.#say(field.option.description);
    const values = valuesFor(field.option, target.value.trim());
    if (!values) return this.#completion.hide();
    const items = values.map((each) => ({ ...each, run: () => this.#fill(field, each.label) }));
    const done = items.length === 1 && items[0].label === target.value;
    if (done) this.#completion.hide();
    else this.#completion.show(target, field.option.name, items);
  }

  #fill(field, text) {
    field.input.value = text;
    field.box.classList.remove("bad");
    this.#fields[this.#fields.indexOf(field) + 1]?.input.focus();
  }

  #complain(field, sentence) {
    field.box.classList.add("bad");
    field.input.focus();
    this.#completion.hide();
    field.box.classList.add("bad");
    this.#say(sentence, true);
  }

  #say(sentence, bad = false) {
    this.#hint.textContent = sentence;
    this.#hint.classList.toggle("bad", bad);
  }

  #onKey(event) {
    const field = this.#fieldOf(event.target);
    // An empty field's list is an offer: Enter and Tab pass it by unless somebody moved in it.
    if (field && !field.input.value && !this.#completion.isTouched && /^(Enter|Tab)$/.test(event.key))
      this.#completion.hide();
    if (event.isComposing || this.#completion.onKey(event)) return;
    const first = !field || field === this.#fields[0];
    if (event.key === "Enter") this.run();
    else if (event.key === "Escape") this.close();
    else if (event.key === "Backspace" && first && !field?.input.value) this.close();
    else return;
    event.preventDefault();
  }
}
