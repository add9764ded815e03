// The live list of REST calls and gateway events. Data is kept while the drawer is shut; elements only while it is open.

import { byId, closest, h, icon, perFrame } from "./dom.js";
import { Follow } from "./follow.js";
import { seconds } from "./format.js";

const AT_MOST = 300;
const RATE_SECONDS = 5;
const still = matchMedia("(prefers-reduced-motion: reduce)");

const list = byId("wire");
const scroller = byId("wire-scroller");
const entries = new Map();
let shown = new Map();
let changed = new Set();
let isOpen = false;
let paused = false;
const follow = new Follow(scroller, list);

export function setUpWire() {
  byId("wire-filter").addEventListener("click", (event) => filter(closest(event, "[data-filter]")));
  byId("wire-filter").addEventListener("keydown", (event) => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    const all = [...byId("wire-filter").children];
    filter(all[(all.indexOf(document.activeElement) + (event.key === "ArrowRight" ? 1 : all.length - 1)) % all.length]);
  });
  byId("wire-pause").addEventListener("click", () => {
    paused = !paused;
    byId("wire-pause").setAttribute("aria-pressed", `${paused}`);
    byId("wire-pause").textContent = paused ? "Resume" : "Pause";
    if (!paused) redraw();
  });
  byId("wire-clear").addEventListener("click", () => {
    entries.clear();
    redraw();
  });
  setInterval(drawRate, 1000);
}

/** New entries and new states of known ones. */
export function putWire(frames) {
  for (const entry of frames) {
    entries.set(`${entry.id}`, entry);
    changed.add(`${entry.id}`);
  }
  for (const id of entries.keys()) {
    if (entries.size <= AT_MOST) break;
    entries.delete(id);
  }
  if (isOpen && !paused) schedule();
  else changed.clear();
}

export function resetWire() {
  entries.clear();
  redraw();
}

/** Whether anybody sees the drawer. */
export function watchWire(open) {
  if (open === isOpen) return;
  isOpen = open;
  follow.on = true;
  redraw();
}

function redraw() {
  changed = new Set(entries.keys());
  schedule();
}

const schedule = perFrame(() => {
  if (!isOpen) {
    list.replaceChildren();
    shown = new Map();
    return;
  }
  for (const [id, element] of shown) {
    if (entries.has(id)) continue;
    element.remove();
    shown.delete(id);
  }
  const added = [];
  for (const id of changed) {
    const entry = entries.get(id);
    if (!entry) continue;
    const element = row(entry);
    if (shown.has(id)) shown.get(id).replaceWith(element);
    else added.push(element);
    shown.set(id, element);
  }
  changed.clear();
  list.append(...added);
  drawRate();
});

function row(entry) {
  return entry.kind === "rest" ? restRow(entry) : eventRow(entry);
}

function restRow(entry) {
  const kind =
    entry.status === 0
      ? "running"
      : entry.status === 429
        ? "limited"
        : entry.status >= 400 || entry.fault
          ? "error"
          : "ok";
  const spent = entry.remaining !== null && entry.remaining <= 1;
  return h(
    "li",
    { class: `entry rest ${kind}${spent ? " spent" : ""}`, title: `${entry.method} ${entry.path}` },
    h("span", { class: "at" }, seconds(entry.at)),
    h("span", { class: "verb" }, entry.method),
    h("span", { class: "what" }, ...route(entry.route)),
    h(
      "span",
      { class: "result" },
      h("span", { class: "status" }, entry.status || "…"),
      entry.ms === null ? "" : ` ${Math.round(entry.ms)} ms`,
    ),
    entry.bucket && entry.limit !== null ? bucket(entry) : null,
    about(entry),
  );
}

/** `/channels/{channel_id}/messages` with its parameters short and set back, and a place to break after each slash. */
function route(template) {
  return template
    .split(/(\{\w+\}|\/)/)
    .flatMap((piece) =>
      piece === "/"
        ? ["/", h("wbr")]
        : piece.startsWith("{")
          ? [h("i", {}, `:${piece.slice(1, -1).replace(/_id$/, "")}`)]
          : [piece],
    );
}

function about(entry) {
  const fault =
    entry.fault || entry.code
      ? h(
          "span",
          { class: "fault" },
          [entry.fault, entry.code && `code ${entry.code}`].filter(Boolean).join(", "),
          entry.text ? " · " : "",
        )
      : null;
  return h("span", { class: "about" }, fault, entry.text ?? "");
}

function bucket(entry) {
  const bar = h("i");
  const part = Math.max(0, Math.min(1, entry.remaining / entry.limit));
  const left = (entry.reset_after ?? 0) * 1000 - (Date.now() - entry.at * 1000 - (entry.ms ?? 0));
  bar.style.transform = `scaleX(${left > 0 ? part : 1})`;
  if (left > 0 && part < 1 && !still.matches)
    bar.animate({ transform: [`scaleX(${part})`, "scaleX(1)"] }, { duration: left, fill: "forwards" });
  return h(
    "span",
    { class: "bucket", title: entry.reset_after ? `Full again in ${entry.reset_after.toFixed(1)} s` : "" },
    h("span", { class: "meter", "aria-hidden": "true" }, bar),
    h("span", {}, `${entry.remaining} of ${entry.limit} left`),
    h("span", {}, `· bucket ${entry.bucket}`),
  );
}

function eventRow(entry) {
  const arriving = entry.dir === "in";
  return h(
    "li",
    { class: `entry event ${entry.dir}` },
    h("span", { class: "at" }, seconds(entry.at)),
    h("span", { class: "verb" }, icon(arriving ? "in" : "out", { label: arriving ? "to the bot" : "from the bot" })),
    h("span", { class: "what" }, entry.name),
    h("span", { class: "result" }, entry.seq === null || entry.seq === undefined ? "" : `#${entry.seq}`),
    about(entry),
  );
}

function filter(button) {
  if (!button) return;
  for (const each of /** @type {Iterable<HTMLElement>} */ (byId("wire-filter").children)) {
    each.setAttribute("aria-checked", `${each === button}`);
    each.tabIndex = each === button ? 0 : -1;
  }
  button.focus();
  list.dataset.filter = button.dataset.filter;
  follow.on = true;
  follow.toEnd();
}

function drawRate() {
  if (!isOpen || document.hidden) return;
  const since = Date.now() / 1000 - RATE_SECONDS;
  let count = 0;
  for (const entry of entries.values()) if (entry.kind === "rest" && entry.at >= since) count++;
  const text = count ? `${(count / RATE_SECONDS).toFixed(1)}/s` : "";
  if (byId("wire-rate").textContent !== text) byId("wire-rate").textContent = text;
}
