// The message log: which messages are in the page, how they group, and where it is scrolled to.
//
// At most WINDOW messages are elements. Edits touch only their own message, at most once a frame, and nothing here has
// to ask for the layout while it writes.

import { byId, h, perFrame } from "./dom.js";
import { compareIds, dayKey, localizeTimes, longDay } from "./format.js";
import { Follow } from "./follow.js";
import { MessageView } from "./message.js";
import { Timeline } from "./timeline.js";

const WINDOW = 200;
const STEP = 50;
const GROUP_SECONDS = 7 * 60;

const scroller = byId("scroller");
const log = byId("log");

export const timeline = new Timeline();
const views = new Map();
const dividers = new Map();
const dirty = new Set();
let rearranged = false;
let from = 0;
let loading = false;
let newSince = null;
let away = 0;
/** @type {() => Promise<number>} */
let loadOlder = async () => 0;
/** @type {() => any} */
let reload = () => {};
let onMove = () => {};

const follow = new Follow(scroller, byId("scroller-content"), {
  isEnd: () => from + WINDOW >= timeline.list.length && !timeline.cut,
  onChange: onFollow,
  onScroll,
});

/** `older()` fetches older messages and resolves when they are in; `latest()` opens the channel anew; `moved` hears of the scroll state. */
export function setUpLog({ older, latest, moved }) {
  loadOlder = older;
  reload = latest;
  onMove = moved;
  setInterval(() => document.hidden || localizeTimes(log), 5000);
}

/** Show a channel from its newest messages. `seen`: the last id the person had read here, for the line above what is new. */
export function show(messages, more, seen) {
  timeline.reset(messages, more);
  for (const view of views.values()) view.element.remove();
  views.clear();
  dirty.clear();
  newSince = seen && messages.length && compareIds(messages.at(-1).id, seen) > 0 ? seen : null;
  away = 0;
  follow.on = true;
  from = Math.max(0, timeline.list.length - WINDOW);
  rearranged = true;
  // Opening a channel is not news: nothing of it is read out.
  log.setAttribute("aria-busy", "true");
  render();
  follow.toEnd();
  requestAnimationFrame(() => log.setAttribute("aria-busy", "false"));
}

/** Messages that came or changed. */
export function put(messages) {
  const { added, changed } = timeline.put(messages);
  for (const id of changed) dirty.add(id);
  if (added.length) {
    rearranged = true;
    if (!follow.on) away += added.length;
  }
  schedule();
}

export function remove(ids) {
  from -= timeline.list.slice(0, from).filter((message) => ids.includes(message.id)).length;
  if (timeline.remove(ids)) rearranged = true;
  schedule();
}

export const viewOf = (id) => views.get(id);
export const isAtEnd = () => follow.on;
export const awayCount = () => away;
/** Whether what is above the first element has to be asked for. */
export const hasOlder = () => from === 0 && timeline.more;
export const isAtBeginning = () => from === 0 && !timeline.more;
export const noNewLine = () => {
  newSince = null;
  rearranged = true;
  schedule();
};

const schedule = perFrame(render);

function render() {
  if (follow.on && rearranged) {
    timeline.keepNewest(WINDOW);
    from = 0;
  }
  for (const id of dirty) {
    const message = timeline.byId.get(id);
    if (message) views.get(id)?.update(message);
  }
  dirty.clear();
  if (rearranged) arrange();
  rearranged = false;
  onMove();
}

/** Make the log's children the window's messages with their dividers, moving only what is out of place. */
function arrange() {
  from = Math.min(from, Math.max(0, timeline.list.length - 1));
  const shown = timeline.list.slice(from, from + WINDOW);
  const keep = new Set(shown.map((message) => message.id));
  const focused = log.contains(document.activeElement) ? document.activeElement.closest(".msg") : null;
  for (const [id, view] of views) {
    if (keep.has(id)) continue;
    view.element.remove();
    views.delete(id);
  }
  let previous = timeline.list[from - 1] ?? null;
  let next = log.firstElementChild;
  const marks = new Set();
  const place = (element) => {
    if (element === next) next = next.nextElementSibling;
    else log.insertBefore(element, next);
  };
  const mark = (key, text) => {
    marks.add(key);
    place(divider(key, text));
  };
  for (const message of shown) {
    const sameDay = previous && dayKey(previous.at) === dayKey(message.at);
    const firstNew =
      newSince && compareIds(message.id, newSince) > 0 && (!previous || compareIds(previous.id, newSince) <= 0);
    if (!sameDay) mark(`${dayKey(message.at)}`, longDay(message.at));
    if (firstNew) mark("new", "New");
    let view = views.get(message.id);
    if (!view) {
      view = new MessageView(message);
      views.set(message.id, view);
    }
    view.head = !sameDay || Boolean(firstNew) || !continues(previous, message);
    place(view.element);
    previous = message;
  }
  while (next) {
    const after = next.nextElementSibling;
    next.remove();
    next = after;
  }
  for (const key of dividers.keys()) if (!marks.has(key)) dividers.delete(key);
  if (focused && !focused.isConnected) scroller.focus({ preventScroll: true });
  // Who comes with Tab comes to the newest; who is among the messages stays where they are.
  if (!focused?.isConnected) makeReachable(log.querySelector(":scope > .msg:last-of-type"));
}

function divider(key, text) {
  if (!dividers.has(key))
    dividers.set(
      key,
      h("div", { class: key === "new" ? "divider new" : "divider", role: "separator", "aria-label": text }, text),
    );
  return dividers.get(key);
}

function continues(previous, message) {
  return (
    previous.author.id === message.author.id &&
    previous.author.name === message.author.name &&
    message.at - previous.at < GROUP_SECONDS &&
    message.kind === "default" &&
    !message.reply &&
    !message.command &&
    previous.kind !== "system" &&
    previous.ephemeral === message.ephemeral
  );
}

// Scrolling

function onScroll({ up, above, below }) {
  const near = scroller.clientHeight * 0.75;
  if (up && above < near) earlier();
  else if (!up && below < near) later();
}

function onFollow() {
  if (follow.on) {
    away = 0;
    if (timeline.list.length > WINDOW) {
      rearranged = true;
      schedule();
    }
  }
  onMove();
}

async function earlier() {
  if (loading) return;
  if (from === 0) {
    if (!timeline.more) return;
    loading = true;
    const fresh = await loadOlder().catch(() => 0);
    loading = false;
    if (!fresh) return onMove();
    from = fresh;
  }
  shift(Math.max(0, from - STEP));
}

function later() {
  // Who follows has the newest with the next frame, and is not to be kept where they are.
  if (follow.on && !timeline.cut) return;
  if (from + WINDOW < timeline.list.length) shift(Math.min(timeline.list.length - WINDOW, from + STEP));
  else if (timeline.cut) reload();
}

/** Move the window and keep what one looks at where it is. */
function shift(to) {
  const anchor = [...log.children].find(
    (child) =>
      child.classList.contains("msg") && child.getBoundingClientRect().bottom > scroller.getBoundingClientRect().top,
  );
  const before = anchor?.getBoundingClientRect().top;
  // The browser's own anchoring would correct the same move a second time.
  scroller.style.overflowAnchor = "none";
  from = to;
  rearranged = true;
  render();
  if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
  follow.moved();
  requestAnimationFrame(() => (scroller.style.overflowAnchor = ""));
}

/** Back to the newest message. */
export function toPresent() {
  if (timeline.cut) return reload();
  follow.on = true;
  rearranged = true;
  render();
  follow.toEnd();
}

/** Scroll to a message that is loaded and let it flash. False if it is not here. */
export function jumpTo(id) {
  const at = timeline.indexOf(id);
  if (at < 0) return false;
  follow.on = false;
  if (at < from || at >= from + WINDOW) {
    from = Math.max(0, at - STEP);
    rearranged = true;
    render();
  }
  const { element } = views.get(id);
  element.scrollIntoView({ block: "center" });
  element.classList.remove("flash");
  void element.offsetWidth; // the animation starts anew only after a layout without it
  element.classList.add("flash");
  element.addEventListener("animationend", () => element.classList.remove("flash"), { once: true });
  focusMessage(element, { preventScroll: true });
  return true;
}

// One message at a time can be reached with Tab; the arrow keys move among them.

export function focusMessage(element, options) {
  if (!element) return;
  makeReachable(element);
  element.focus(options);
}

function makeReachable(element) {
  const reachable = /** @type {NodeListOf<HTMLElement>} */ (log.querySelectorAll(':scope > .msg[tabindex="0"]'));
  for (const other of reachable) other.tabIndex = -1;
  if (element) element.tabIndex = 0;
}

/** Focus the message that Tab would come to, or the log itself while it is empty. */
export function focusLog() {
  const reachable = log.querySelector(':scope > .msg[tabindex="0"]') ?? log;
  /** @type {HTMLElement} */ (reachable).focus();
}

export function neighbour(element, step) {
  const all = [...log.querySelectorAll(":scope > .msg")];
  return step === Infinity ? all.at(-1) : step === -Infinity ? all[0] : all[all.indexOf(element) + step];
}
