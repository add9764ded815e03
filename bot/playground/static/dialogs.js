// Modal dialogs: deleting, naming a thread, the bot's forms, jumping to a channel.

import { h } from "./dom.js";

/** Show a dialog around `body`. `submit()` runs on the main button; it stays open with the sentence if that is refused. */
function dialog(title, body, { action, danger = false, submit, cancelled }) {
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
    try {
      await submit();
      done = true;
      box.close();
    } catch (refused) {
      error.textContent = refused.message;
      error.hidden = false;
    }
    main.disabled = false;
  });
  box.addEventListener("click", (event) => {
    if (event.target === box || event.target.closest("[data-cancel]")) box.close();
  });
  box.addEventListener("close", () => {
    box.remove();
    if (!done) cancelled?.();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

export function confirmDelete(message, remove) {
  const shown = h("div", { class: "md shown" });
  shown.textContent =
    message.raw || (message.attachments.length ? message.attachments.map((file) => file.name).join(", ") : "(no text)");
  const body = [
    h("p", {}, "Delete this message? It cannot be undone."),
    shown,
    h("p", { class: "dialog-note" }, "Hold Shift while you choose Delete to skip this question."),
  ];
  const box = dialog("Delete message", body, { action: "Delete", danger: true, submit: remove });
  box.querySelector("[type=submit]").focus();
}

export function askThreadName(suggested, start) {
  const input = h("input", { maxlength: "100", required: true, placeholder: "Thread name" });
  input.value = suggested;
  const body = h("label", { class: "field" }, h("span", {}, "Thread name"), input);
  dialog("Start a thread", body, {
    action: "Start the thread",
    submit: async () => {
      if (!input.value.trim()) throw new Error("A thread needs a name.");
      await start(input.value.trim());
    },
  });
  input.select();
}

/** A form of the bot's. `submit(fields)` and `cancel()` tell the server. */
export function showForm(form, submit, cancel) {
  const inputs = form.inputs.map((each) => {
    const input = h(each.long ? "textarea" : "input", {
      placeholder: each.placeholder,
      minlength: each.min,
      maxlength: each.max,
      required: each.required,
    });
    input.value = each.value ?? "";
    return { ...each, input };
  });
  const body = inputs.map(({ label, required, input }) =>
    h("label", { class: "field" }, h("span", {}, label, required && h("i", { "aria-hidden": "true" }, " *")), input),
  );
  dialog(form.title, body, {
    action: "Submit",
    submit: async () => {
      const empty = inputs.find(({ required, input }) => required && !input.value.trim());
      if (empty) {
        empty.input.focus();
        throw new Error(`“${empty.label}” is needed.`);
      }
      const short = inputs.find(({ min, input }) => min && input.value && [...input.value].length < min);
      if (short) throw new Error(`“${short.label}” needs at least ${short.min} characters.`);
      await submit(Object.fromEntries(inputs.map(({ id, input }) => [id, input.value])));
    },
    cancelled: cancel,
  });
}

/** Jump to a channel by typing a part of its name. */
export function quickSwitch(places, go) {
  if (document.querySelector("dialog[open]")) return;
  const list = h("div", { class: "completion", role: "listbox", id: "quick-list", "aria-label": "Channels" });
  const input = h("input", {
    role: "combobox",
    "aria-controls": "quick-list",
    "aria-expanded": "true",
    "aria-label": "Where to?",
    placeholder: "Where to?",
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
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  draw();
}
