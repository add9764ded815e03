// Modal dialogs: deleting, naming a thread, the bot's forms, jumping to a channel.

import { byId, closest, h } from "./dom.js";
import { codePoints } from "./format.js";
import { fromDiscord } from "./names.js";

/**
 * Show a dialog around `body`. `submit()` runs on the main button; it stays open with the sentence if that is refused.
 * A `lasting` one is not closed by a click beside it.
 * @param {string} title
 * @param {any} body
 * @param {{ action: string, danger?: boolean, lasting?: boolean, submit: () => any, cancelled?: () => void }} options
 */
function dialog(title, body, { action, danger = false, lasting = false, submit, cancelled }) {
  const error = h("p", { class: "failed", role: "alert", hidden: true });
  const main = h("button", { type: "submit", class: `btn ${danger ? "danger" : "primary"}` }, action);
  const form = h(
    "form",
    { method: "dialog", novalidate: true },
    h("div", { class: "dialog-body" }, h("h2", { id: "dialog-title" }, title), body, error),
    h(
      "div",
      { class: "dialog-foot" },
      h("button", { type: "button", class: "btn", data: { cancel: "" } }, "Cancel"),
      main,
    ),
  );
  const box = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  let done = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (main.disabled) return;
    main.disabled = true;
    error.hidden = true;
    try {
      await submit();
      done = true;
      box.close();
    } catch (/** @type {any} */ refused) {
      error.textContent = refused.message;
      error.hidden = !refused.message;
    }
    main.disabled = false;
  });
  box.addEventListener("click", (event) => {
    if ((event.target === box && !lasting) || closest(event, "[data-cancel]")) box.close();
  });
  box.addEventListener("close", () => {
    takeAway(box);
    if (!done) cancelled?.();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Remove a dialog that is closed, and see to the focus. */
function takeAway(box) {
  box.remove();
  // What had it before may be hidden by now; and Chromium gives a field its focus back without the caret.
  const active = /** @type {HTMLElement} */ (document.activeElement);
  const back = active === document.body ? byId("input") : active;
  back.blur();
  back.focus();
}

/** `whose` message it is, and a sentence on `where` it is. */
export function confirmDelete(message, { whose, where }, remove) {
  const shown = h("div", { class: "md shown" });
  shown.textContent =
    fromDiscord(message.raw) ||
    (message.attachments.length ? message.attachments.map((file) => (file.voice ? "Voice message" : file.name)).join(", ") : "(no text)");
  const thread = message.thread && `Its thread “${message.thread.name}” stays.`;
  const body = [
    h("p", {}, [where, thread, "This can't be undone."].filter(Boolean).join(" ")),
    shown,
    h("p", { class: "dialog-note" }, "To skip this question, hold Shift when you choose Delete."),
  ];
  const box = dialog(`Delete ${whose} message?`, body, { action: "Delete", danger: true, submit: remove });
  /** @type {HTMLElement} */ (box.querySelector("[type=submit]")).focus();
}

export function askThreadName(suggested, start) {
  const input = h("input", { maxlength: "100", required: true, placeholder: "Thread name" });
  input.value = suggested;
  const body = h("label", { class: "field" }, h("span", {}, "Thread name"), input);
  dialog("Start a thread", body, {
    action: "Start thread",
    submit: async () => {
      if (!input.value.trim()) throw new Error("Give the thread a name.");
      await start(input.value.trim());
    },
  });
  input.select();
}

/** A post for a forum. `start(title, text)` tells the server. */
export function askPost(start) {
  const title = h("input", { maxlength: "100", required: true, placeholder: "What is it about?" });
  const text = h("textarea", { required: true, rows: "4", placeholder: "Mention the bot to have it answer" });
  const body = [
    h("label", { class: "field" }, h("span", {}, "Title"), title),
    h("label", { class: "field" }, h("span", {}, "Message"), text),
  ];
  dialog("New post", body, {
    action: "Post",
    lasting: true,
    submit: async () => {
      if (!title.value.trim()) throw new Error("Give the post a title.");
      if (!text.value.trim()) throw new Error("Write something first.");
      await start(title.value.trim(), text.value.trim());
    },
  });
  title.focus();
}

/** A form of the bot's. `submit(fields)` and `cancel()` tell the server. */
export function showForm(form, submit, cancel) {
  const fields = form.inputs.map((each) => new Field(each));
  const box = dialog(
    form.title,
    fields.map((field) => field.box),
    {
      action: "Submit",
      // A stray click does not lose what somebody has written.
      lasting: true,
      submit: async () => {
        const wrong = fields.filter((field) => !field.check());
        if (wrong.length) {
          wrong[0].input.focus();
          throw new Error("");
        }
        await submit(Object.fromEntries(fields.map((field) => [field.id, field.input.value])));
      },
      cancelled: cancel,
    },
  );
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) box.querySelector("form").requestSubmit();
  });
  fields[0]?.focus();
}

/** One text input of a form, with a counter and what is wrong with it. */
class Field {
  #asked;
  #count = h("span", { class: "field-count" });
  #error = h("span", { class: "field-error", role: "alert" });

  constructor(asked) {
    this.#asked = asked;
    this.id = asked.id;
    const about = `field-${asked.id}`;
    this.input = h(asked.long ? "textarea" : "input", {
      placeholder: asked.placeholder,
      required: asked.required,
      "aria-describedby": about,
      on: { input: () => (this.input.hasAttribute("aria-invalid") ? this.check() : this.#draw()) },
    });
    this.input.value = asked.value;
    this.box = h(
      "label",
      { class: "field" },
      h("span", {}, asked.label, asked.required && h("i", { "aria-hidden": "true" }, " *")),
      asked.note && h("small", {}, asked.note),
      this.input,
      h("span", { class: "field-foot", id: about }, this.#error, this.#count),
    );
    this.#draw();
  }

  /** Whether it can be sent; if not, it says why. */
  check() {
    const sentence = this.#wrong();
    this.#error.textContent = sentence;
    if (sentence) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
    this.#draw();
    return !sentence;
  }

  focus() {
    this.input.focus();
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    this.input.scrollTop = this.input.scrollHeight;
  }

  #wrong() {
    const { required, min, max } = this.#asked;
    const length = codePoints(this.input.value);
    if (required && !this.input.value.trim()) return "Fill this in.";
    if (length > max) return `Remove ${length - max} character${length - max === 1 ? "" : "s"}.`;
    return length && length < min ? `Write at least ${min} characters.` : "";
  }

  #draw() {
    const { max } = this.#asked;
    const length = codePoints(this.input.value);
    this.#count.textContent = `${length} / ${max}`;
    this.#count.setAttribute("aria-label", `${length} of ${max} characters`);
    this.#count.classList.toggle("over", length > max);
  }
}

/** Jump to a channel by typing a part of its name. */
export function quickSwitch(places, go) {
  if (document.querySelector("dialog[open]")) return;
  const list = h("div", { class: "completion", role: "listbox", id: "quick-list", "aria-label": "Channels" });
  const input = h("input", {
    role: "combobox",
    "aria-controls": "quick-list",
    "aria-expanded": "true",
    "aria-label": "Go to a channel",
    placeholder: "Go to a channel",
    autocomplete: "off",
  });
  const box = h("dialog", { class: "quick", "aria-label": "Go to a channel" }, input, list);
  let found = [];
  let at = 0;
  const choose = (place) => {
    box.close();
    if (place) go(place.id);
  };
  const draw = () => {
    const wanted = input.value.trim().replace(/^[#@]/, "").toLowerCase();
    found = places.filter((place) => place.name.toLowerCase().includes(wanted)).slice(0, 10);
    at = Math.min(at, Math.max(0, found.length - 1));
    list.replaceChildren(
      ...found.map((place, index) =>
        h(
          "div",
          {
            class: "suggestion",
            role: "option",
            id: `quick-${index}`,
            "aria-selected": `${index === at}`,
            on: { click: () => choose(place) },
          },
          h("span", { class: "lead" }, place.kind === "dm" ? "@" : place.kind === "thread" ? "↳" : "#"),
          h("span", { class: "suggestion-text" }, place.name),
        ),
      ),
    );
    input.setAttribute("aria-activedescendant", found.length ? `quick-${at}` : "");
  };
  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") at = (at + 1) % (found.length || 1);
    else if (event.key === "ArrowUp") at = (at - 1 + found.length) % (found.length || 1);
    else if (event.key === "Enter") return choose(found[at]);
    else return;
    event.preventDefault();
    draw();
  });
  box.addEventListener("click", (event) => event.target === box && box.close());
  box.addEventListener("close", () => takeAway(box));
  document.body.append(box);
  box.showModal();
  draw();
}
