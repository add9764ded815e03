// Editing one's own message in its place.

import { ask, remove } from "./acts.js";
import { h } from "./dom.js";
import { codePoints } from "./format.js";
import { focusMessage, viewOf } from "./log.js";
import { fromDiscord, toDiscord } from "./names.js";
import { state } from "./state.js";
import { sayWhy, toast } from "./toast.js";

let current = null;

export function startEdit(message) {
  stopEdit();
  const view = viewOf(message.id);
  if (!view) return;
  const text = h("textarea", { rows: "1", "aria-label": "Edit the message" });
  text.value = fromDiscord(message.raw);
  const button = (label, run) => h("button", { type: "button", on: { click: run } }, label);
  const editor = h(
    "div",
    { class: "editor" },
    text,
    h(
      "div",
      { class: "editor-hint" },
      "Esc to ",
      button("cancel", () => stopEdit()),
      " · Enter to ",
      button("save", save),
    ),
  );
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  };
  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) save();
    else if (event.key === "Escape") stopEdit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  view.element.classList.add("editing");
  view.content.after(editor);
  current = { message, view, editor, text };
  grow();
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
  view.element.scrollIntoView({ block: "nearest" });
}

export function stopEdit() {
  if (!current) return;
  const { view, editor } = current;
  current = null;
  const had = editor.contains(document.activeElement);
  editor.remove();
  view.element.classList.remove("editing");
  if (had && view.element.isConnected) focusMessage(view.element, { preventScroll: true });
}

async function save() {
  const { message, text } = current;
  const content = toDiscord(text.value).trim();
  if (!content && !message.attachments.length) {
    stopEdit();
    return remove(message);
  }
  if (codePoints(content) > state.limits.content)
    return toast(`Discord allows ${state.limits.content.toLocaleString("en")} characters. Shorten your message.`);
  if (content === message.raw.trim()) return stopEdit();
  try {
    await ask("edit", { message: message.id, content });
    stopEdit();
  } catch (error) {
    sayWhy(error);
  }
}
