// A command being filled in: its name, then a small labelled field for each option.

import { ask } from "./acts.js";
import { valuesFor } from "./completion.js";
import { byId, dots, h } from "./dom.js";
import { codePoints } from "./format.js";
import { state } from "./state.js";
import { sayWhy } from "./toast.js";
import { upload } from "./uploads.js";

/** How long the typing rests before the bot is asked what fits. */
const REST_MS = 150;
/** Characters that a field has room for at the least. */
const LEAST_SIZE = 12;
const NUMBERS = ["integer", "number"];
const ID = /^\d{15,20}$/;

const form = byId("slash-form");

export class SlashForm {
  #command = null;
  #fields = [];
  #completion;
  #onClose;
  #hint = h("span", { class: "slash-hint", id: "slash-hint", role: "status" });
  #running = false;
  /** What the bot is being asked for now: {field, timer, confirmed}, the last being how often somebody confirmed what
   * is not there yet. An answer to anything else is too late. */
  #asking = null;

  constructor(completion, onClose) {
    this.#completion = completion;
    this.#onClose = onClose;
    form.addEventListener("keydown", (event) => this.#onKey(event));
    form.addEventListener("input", (event) => {
      const field = /** @type {HTMLInputElement} */ (event.target);
      if (field.type === "text") fitted(field);
      this.#suggest(field, REST_MS);
    });
    form.addEventListener("focusin", (event) => this.#suggest(event.target));
    form.addEventListener("focusout", (event) => form.contains(/** @type {Node} */ (event.relatedTarget)) || this.#hide());
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

  /** Focus the first field that is still empty, or else the last one. */
  focus() {
    const field = this.#fields.find(({ input }) => !input.value) ?? this.#fields.at(-1);
    (field?.input ?? /** @type {HTMLElement} */ (form.querySelector(".slash-name"))).focus();
  }

  close({ refocus = true } = {}) {
    if (!this.#command) return;
    this.#command = null;
    form.hidden = true;
    this.#hide();
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
    if (option.type === "attachment") return this.#fileField(option);
    const listed = option.completes || valuesFor(option, "") !== null;
    const input = h("input", {
      type: "text",
      size: `${LEAST_SIZE}`,
      inputmode: { integer: "numeric", number: "decimal" }[option.type],
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      placeholder: option.required ? "required" : "optional",
      "aria-label": `${option.name}${option.required ? ", required" : ""}: ${explained(option)}`,
      "aria-describedby": "slash-hint",
      ...(listed
        ? { role: "combobox", "aria-autocomplete": "list", "aria-controls": "completion", "aria-expanded": "false" }
        : {}),
    });
    const box = h("label", { class: "slash-field" }, h("span", {}, option.name), input);
    return { option, input, box, picked: null };
  }

  #fileField(option) {
    const input = h("input", { type: "file", "aria-label": `${option.name}: ${option.description}` });
    const field = { option, input, picked: null, box: h("label", { class: "slash-field" }, h("span", {}, option.name), input) };
    input.addEventListener("change", async () => {
      const [file] = input.files;
      field.picked = null;
      if (!file) return;
      const uploading = { label: file.name, value: new Error(`“${file.name}” is still being uploaded.`) };
      field.picked = uploading;
      try {
        uploading.value = await upload(file, { name: file.name });
      } catch (error) {
        input.value = "";
        if (field.picked === uploading) field.picked = null;
        sayWhy(error);
      }
    });
    return field;
  }

  /** The option's value as the server takes it, null where it is left out, an Error with what is wrong. */
  #value({ option, input, picked }) {
    if (option.type === "attachment") return picked?.value ?? null;
    const typed = input.value.trim();
    if (!typed) return option.required ? new Error(`Fill in “${option.name}”: ${option.description}`) : null;
    if (picked?.label === input.value) return picked.value;
    const values = option.completes ? null : valuesFor(option, "");
    if (values) {
      const wanted = typed.replace(/^[@#]/, "").toLowerCase();
      const found = values.find((each) => each.label.toLowerCase() === wanted)?.value;
      // Who is no member any more is in no list, but has an id.
      const isId = ["user", "mentionable"].includes(option.type) && ID.test(typed);
      return found ?? (isId ? typed : new Error(`Choose “${option.name}” from the list.`));
    }
    const range = rangeOf(option);
    if (NUMBERS.includes(option.type)) {
      const number = Number(typed);
      if (Number.isNaN(number) || (option.type === "integer" && !Number.isInteger(number))) {
        const kind = option.type === "integer" ? "whole number" : "number";
        return new Error(`“${option.name}” must be a ${kind}${range && `, ${range}`}.`);
      }
      if (!fits(number, option)) return new Error(`“${option.name}” must be ${range}.`);
    } else if (!fits(codePoints(typed), option)) return new Error(`“${option.name}” must have ${range}.`);
    return typed;
  }

  #fieldOf = (input) => this.#fields.find((field) => field.input === input);

  /** Offer what the field under the caret can hold, once the typing has rested that long. */
  #suggest(target, rest = 0) {
    this.#drop();
    const field = this.#fieldOf(target);
    if (!field) return this.#completion.hide();
    const { option, input } = field;
    field.box.classList.remove("bad");
    this.#say(explained(option));
    if (option.type === "attachment") return this.#completion.hide();
    if (field.picked?.label === input.value) return this.#completion.hide();
    field.picked = null;
    if (option.completes) return this.#askBot(field, rest);
    const values = valuesFor(option, input.value.trim());
    if (!values) return this.#completion.hide();
    this.#offer(field, values);
  }

  #offer(field, values, note = null) {
    const items = values.map((each) => ({ ...each, run: () => this.#fill(field, each) }));
    // An empty field that is not needed is passed by with Enter and Tab.
    const select = Boolean(field.input.value) || field.option.required;
    this.#completion.show(field.input, field.option.name, items, { select, note });
  }

  #askBot(field, rest) {
    const asking = { field, timer: null, confirmed: 0 };
    this.#asking = asking;
    if (!this.#completion.isOpen) this.#completion.show(field.input, field.option.name, [], { note: dots() });
    asking.timer = setTimeout(() => this.#complete(asking), rest);
  }

  async #complete(asking) {
    const { field } = asking;
    asking.timer = null;
    const options = Object.fromEntries(this.#fields.map((each) => [each.option.name, this.#soFar(each)]));
    const about = { channel: state.channel, command: this.#command.name, option: field.option.name, options };
    let values = [];
    let note = "Nothing found. Try another word.";
    try {
      const { choices } = await ask("complete", about);
      values = choices.map(({ name, value }) => ({ label: name, value: `${value}` }));
    } catch (/** @type {any} */ error) {
      note = error.message;
    }
    if (this.#asking !== asking) return;
    this.#asking = null;
    if (asking.confirmed && values.length) this.#fill(field, values[0]);
    else this.#offer(field, values, values.length ? null : note);
    if (asking.confirmed > 1) this.run();
  }

  #soFar(field) {
    const value = this.#value(field);
    return value instanceof Error || value === null ? field.input.value : value;
  }

  #drop() {
    clearTimeout(this.#asking?.timer);
    this.#asking = null;
  }

  #hide() {
    this.#drop();
    this.#completion.hide();
  }

  #fill(field, picked) {
    field.input.value = picked.label;
    field.picked = picked;
    fitted(field.input);
    field.box.classList.remove("bad");
    this.#hide();
    this.#fields[this.#fields.indexOf(field) + 1]?.input.focus();
  }

  #complain(field, sentence) {
    field.input.focus();
    this.#hide();
    field.box.classList.add("bad");
    this.#say(sentence, true);
  }

  #say(sentence, bad = false) {
    this.#hint.textContent = sentence;
    this.#hint.classList.toggle("bad", bad);
  }

  #onKey(event) {
    if (event.isComposing) return;
    const field = this.#fieldOf(event.target);
    if (this.#waits(event, field)) return event.preventDefault();
    if (this.#completion.onKey(event)) {
      if (event.key === "Escape") this.#drop();
      return;
    }
    const first = !field || field === this.#fields[0];
    if (event.key === "Enter") this.run();
    else if (event.key === "Escape") this.close();
    else if (event.key === "Backspace" && first && !field?.input.value) this.close();
    else return;
    event.preventDefault();
  }

  /** Who confirms before the bot has answered means the first of what it will offer, and by once more: send. */
  #waits(event, field) {
    const asking = this.#asking;
    const confirms = (event.key === "Enter" || event.key === "Tab") && !event.shiftKey;
    if (!asking || asking.field !== field || !confirms || !field.input.value.trim()) return false;
    asking.confirmed += 1;
    if (asking.timer !== null) {
      clearTimeout(asking.timer);
      this.#complete(asking);
    }
    return true;
  }
}

/** As wide as its text also where the browser has no `field-sizing`. */
function fitted(input) {
  input.size = Math.max(LEAST_SIZE, codePoints(input.value) + 1);
}

const fits = (amount, { min, max }) => (min === null || amount >= min) && (max === null || amount <= max);

/** How large a number may be or how long a text, in words; empty where anything goes. */
function rangeOf({ type, min, max }) {
  if (min === null && max === null) return "";
  const unit = NUMBERS.includes(type) ? "" : " characters";
  if (max === null) return `at least ${min}${unit}`;
  return min === null ? `up to ${max}${unit}` : `${min} to ${max}${unit}`;
}

function explained(option) {
  const range = rangeOf(option);
  return range ? `${option.description} (${range})` : option.description;
}
