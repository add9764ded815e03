// What can be done with a message: by pointer, by the menu, by keys. One listener each for the whole log.

import {
  canDelete,
  canEdit,
  canReply,
  canThread,
  commandsOf,
  copy,
  pickEmoji,
  remove,
  runContextCommand,
  startThread,
  tell,
  toggleReaction,
} from "./acts.js";
import { byId, closest, h, icon, iconButton } from "./dom.js";
import { focusMessage, jumpTo, neighbour, timeline, viewOf } from "./log.js";
import { isMenuOpenFor, openMenu } from "./menu.js";
import { toast } from "./toast.js";

const log = byId("log");
/** @type {(channel: string) => void} */
let go = () => {};
/** @type {(message: any) => void} */
let reply = () => {};
/** @type {(message: any) => void} */
let edit = () => {};
/** @type {(id: string, at: HTMLElement) => void} */
let person = () => {};
/** @type {(name: string) => void} */
let command = () => {};

/** Whether what has the focus in the log got it by keys. A click gives it as well, and who types then means no shortcut. */
let reachedByKeys = false;

/** `go(channel)` opens a channel, `reply(message)`, `edit(message)` and `command(name)` begin those, `person(id, at)`
 * opens a person's menu. */
export function setUpMessageMenu(wired) {
  ({ go, reply, edit, person, command } = wired);
  log.addEventListener("click", onClick);
  log.addEventListener("change", onChange);
  log.addEventListener("contextmenu", onContextMenu);
  log.addEventListener("keydown", onKey);
  log.addEventListener("pointerover", (event) => showTools(closest(event, ".msg")));
  // A finger leaves as soon as it is lifted; what it touched keeps its toolbar.
  log.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && showTools(null));
  log.addEventListener("focusin", (event) => {
    reachedByKeys = closest(event, ":focus-visible") !== null;
    showTools(closest(event, ".msg"));
  });
}

const messageOf = (element) => timeline.byId.get(element?.closest(".msg")?.dataset.id);

// The toolbar: a single one, which goes to the message under the pointer.

const tools = h(
  "div",
  { class: "tools", role: "toolbar", "aria-label": "Message", "aria-live": "off" },
  iconButton("smile", "Add a reaction", { data: { do: "pick-emoji" }, tabindex: "-1" }),
  iconButton("reply", "Reply", { data: { do: "reply" }, tabindex: "-1" }),
  iconButton("edit", "Edit", { data: { do: "edit" }, tabindex: "-1" }),
  iconButton("thread", "Start a thread", { data: { do: "thread" }, tabindex: "-1" }),
  iconButton("dots", "More", { data: { do: "more" }, "aria-haspopup": "menu", tabindex: "-1" }),
);

function showTools(element) {
  const message = messageOf(element);
  if (!message || message.ephemeral || element.querySelector(".editor")) return tools.remove();
  if (tools.parentElement === element) return;
  const allowed = { reply: canReply(message), edit: canEdit(message), thread: canThread(message) };
  for (const button of /** @type {Iterable<HTMLElement>} */ (tools.children))
    button.hidden = allowed[button.dataset.do] === false;
  element.append(tools);
}

function items(message) {
  /** @type {any[]} */
  const list = [
    { label: "Add a reaction", icon: "smile", hint: "+", run: () => pickEmoji(message, elementOf(message)) },
  ];
  if (canReply(message)) list.push({ label: "Reply", icon: "reply", hint: "R", run: () => reply(message) });
  if (canEdit(message)) list.push({ label: "Edit", icon: "edit", hint: "E", run: () => edit(message) });
  if (canThread(message)) list.push({ label: "Start a thread", icon: "thread", run: () => startThread(message, go) });
  if (message.raw) list.push({ label: "Copy text", icon: "copy", hint: "C", run: () => copy(message.raw) });
  const apps = commandsOf("message");
  if (apps.length) {
    list.push("line", { title: "Apps" });
    list.push(
      ...apps.map((command) => ({
        label: command.name,
        icon: "app",
        run: () => runContextCommand(command, { message: message.id }),
      })),
    );
  }
  if (canDelete(message))
    list.push("line", {
      label: "Delete",
      icon: "trash",
      danger: true,
      hint: "Del",
      run: (event) => remove(message, { atOnce: event.shiftKey }),
    });
  if (message.ephemeral)
    return [
      { label: "Dismiss message", icon: "close", run: () => tell("dismiss", { message: message.id }) },
      ...list.slice(1),
    ];
  return list;
}

const elementOf = (message) => byId(`m-${message.id}`);

function openFor(message, at) {
  openMenu(at, items(message), { label: "Message" });
}

const DO = {
  "pick-emoji": (message, target) => pickEmoji(message, target),
  reply: (message) => reply(message),
  edit: (message) => edit(message),
  thread: (message) => startThread(message, go),
  more: (message, target) => isMenuOpenFor(target) || openFor(message, target),
  react: (message, target) => toggleReaction(message, target.dataset.emoji),
  dismiss: (message) => tell("dismiss", { message: message.id }),
  go: (_, target) => go(target.dataset.channel ?? target.dataset.id),
  person: (message, target) => person(target.dataset.id ?? message.author.id, target),
  command: (_, target) => command(target.textContent.slice(1)),
  jump: (_, target) => jumpTo(target.dataset.to) || toast("That message is further up. Scroll up until you find it.", "info"),
  spoiler: (_, target) => openSpoiler(target),
  copy: (_, target) => copyCode(target),
  press: (message, target) => press(message, target),
};

function onClick(event) {
  const target = closest(event, "[data-do]");
  const message = messageOf(target);
  if (message && log.contains(target)) DO[target.dataset.do]?.(message, target);
}

async function press(message, button) {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  await tell("press", { message: message.id, custom_id: button.dataset.customId });
  button.removeAttribute("aria-busy");
}

async function onChange(event) {
  const select = event.target.closest("select.pick");
  const message = messageOf(select);
  if (!message) return;
  await tell("choose", {
    message: message.id,
    custom_id: select.dataset.customId,
    values: [select.selectedOptions[0].dataset.value],
  });
}

function openSpoiler(spoiler) {
  if (spoiler.classList.contains("open")) return;
  spoiler.classList.add("open");
  for (const name of ["role", "aria-label", "tabindex"]) spoiler.removeAttribute(name);
}

async function copyCode(button) {
  const done = await copy(button.parentElement.querySelector("code").textContent, "Code copied");
  if (!done) return;
  button.replaceChildren(icon("check"));
  button.classList.add("done");
  setTimeout(() => {
    button.replaceChildren(icon("copy"));
    button.classList.remove("done");
  }, 1500);
}

function onContextMenu(event) {
  const message = messageOf(event.target);
  // A selection and links keep the browser's own menu.
  if (!message || event.target.closest("a, textarea, img") || (!getSelection().isCollapsed && event.button === 2))
    return;
  event.preventDefault();
  const element = closest(event, ".msg");
  focusMessage(element, { preventScroll: true });
  openFor(message, event.clientX || event.clientY ? { x: event.clientX, y: event.clientY } : element);
}

const MOVES = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };

function onKey(event) {
  const element = closest(event, ".msg");
  const message = messageOf(element);
  if (!message) return;
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".editor")) return;
  if (event.target !== element) return onKeyWithin(event, element);
  if (event.key.length === 1 && !reachedByKeys) return;
  const keys = {
    ArrowRight: () => viewOf(message.id).controls[0]?.focus(),
    Enter: () => openFor(message, element),
    ContextMenu: () => openFor(message, element),
    r: () => canReply(message) && reply(message),
    e: () => canEdit(message) && edit(message),
    c: () => message.raw && copy(message.raw),
    "+": () => pickEmoji(message, element),
    Delete: () => canDelete(message) && remove(message, { atOnce: event.shiftKey }),
    Escape: () => byId("input").focus(),
  };
  if (event.key in MOVES) focusMessage(neighbour(element, MOVES[event.key]), undefined);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
}

/** Keys on something within a message. */
function onKeyWithin(event, element) {
  const { target, key } = event;
  const { controls } = viewOf(element.dataset.id);
  const at = controls.indexOf(target);
  if ((key === "Enter" || key === " ") && target.matches('[role="button"], [role="link"]')) target.click();
  else if (key === "ArrowRight") controls[Math.min(at + 1, controls.length - 1)]?.focus();
  else if (key === "ArrowLeft" && at > 0) controls[at - 1].focus();
  else if (key === "ArrowLeft" || key === "Escape") focusMessage(element);
  else return;
  event.preventDefault();
}
