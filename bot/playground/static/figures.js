// The bot's own figures, each second while they are looked at: the same that METRICS_PORT serves to Prometheus.

import { ask } from "./acts.js";
import { byId, h } from "./dom.js";
import { state } from "./state.js";

const EVERY_MS = 1000;
const KEPT = 60;
const SVG = "http://www.w3.org/2000/svg";
const box = /** @type {HTMLDetailsElement} */ (byId("figures-box"));

/** One answer of the server: the figures by name, and when they came. */
class Reading {
  constructor(list) {
    this.at = performance.now() / 1000;
    this.by = new Map(list.map((each) => [each.name, each]));
  }

  /** The series of a figure whose labels have all these values. */
  series(name, labels) {
    const all = this.by.get(name)?.series ?? [];
    return all.filter((each) => labels.every((label) => each.labels.includes(label)));
  }

  sum(name, labels = [], field = "value") {
    return this.series(name, labels).reduce((sum, each) => sum + each[field], 0);
  }
}

const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 && value % 1 ? 1 : 0 });
const time = (value) => (value && value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);

const now =
  (name, ...labels) =>
  (reading) =>
    reading.sum(name, labels);
const rate =
  (name, ...labels) =>
  (reading, before) =>
    (reading.sum(name, labels) - before.sum(name, labels)) / (reading.at - before.at);
/** The mean of what was observed since the reading before; null where nothing was. */
const mean = (name) => (reading, before) => {
  const count = reading.sum(name, [], "count") - before.sum(name, [], "count");
  return count > 0 ? (reading.sum(name, [], "sum") - before.sum(name, [], "sum")) / count : null;
};

/** What is drawn: the figure, what it is called, its value, and how that is written. `bad`: any is one too many. */
const ROWS = [
  { name: "turns", label: "Answers", read: now("turns", "complete"), write: number },
  { name: "turns", label: "Answers that failed", read: now("turns", "failed"), write: number, bad: true },
  { name: "turns", label: "Answers that were stopped", read: now("turns", "stopped"), write: number },
  { name: "replies_running", label: "Answers under way", read: now("replies_running"), write: number },
  { name: "prompts_waiting", label: "Questions that wait", read: now("prompts_waiting"), write: number },
  { name: "first_word_seconds", label: "First word after", read: mean("first_word_seconds"), write: time },
  { name: "staleness_seconds", label: "Shown after", read: mean("staleness_seconds"), write: time },
  { name: "finish_delay_seconds", label: "End shown after", read: mean("finish_delay_seconds"), write: time },
  { name: "discord_requests", label: "Edits a second", read: rate("discord_requests", "edit"), write: number },
  {
    name: "discord_requests_last_second",
    label: "Requests a second, of 50",
    read: now("discord_requests_last_second"),
    write: number,
  },
  { name: "discord_calls_waiting", label: "Calls that wait", read: now("discord_calls_waiting"), write: number },
  { name: "discord_rate_limited", label: "Refused (429)", read: now("discord_rate_limited"), write: number, bad: true },
  { name: "shard_away_seconds", label: "Without Discord for", read: now("shard_away_seconds"), write: time, bad: true },
  { name: "model_requests_under_way", label: "Model at work", read: now("model_requests_under_way"), write: number },
  { name: "tokens", label: "Tokens", read: now("tokens"), write: number },
  { name: "cost", label: "Cost", read: now("cost"), write: (value) => value.toFixed(4) },
  { name: "database_read_seconds", label: "Database, to read", read: mean("database_read_seconds"), write: time },
  { name: "database_commit_seconds", label: "Database, to save", read: mean("database_commit_seconds"), write: time },
  { name: "erasure_due_seconds", label: "Still to be erased for", read: now("erasure_due_seconds"), write: time },
  { name: "event_loop_delay_seconds", label: "Event loop late by", read: mean("event_loop_delay_seconds"), write: time },
];

const rows = ROWS.map((each) => {
  const value = h("td", {}, "–");
  const line = document.createElementNS(SVG, "path");
  const spark = document.createElementNS(SVG, "svg");
  spark.setAttribute("class", "spark");
  spark.setAttribute("viewBox", `0 0 ${KEPT - 1} 1`);
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("aria-hidden", "true");
  line.setAttribute("vector-effect", "non-scaling-stroke");
  spark.append(line);
  const title = h("th", { scope: "row" }, each.label);
  const element = h("tr", { hidden: true }, title, value, h("td", { class: "lately" }, spark));
  return { ...each, element, title, value, line, lately: [] };
});
let before = null;
let asking = false;

export function setUpFigures() {
  byId("figures").append(...rows.map((each) => each.element));
  box.addEventListener("toggle", look);
  setInterval(look, EVERY_MS);
}

async function look() {
  const seen = box.open && !byId("drawer").hidden && !document.hidden && state.connection === "open";
  if (!seen || asking) return;
  asking = true;
  try {
    draw(new Reading((await ask("figures", {})).figures));
  } catch {
    // The connection is lost, which the page says already.
  } finally {
    asking = false;
  }
}

function draw(reading) {
  for (const row of rows) {
    const figure = reading.by.get(row.name);
    // What never happened has no line yet, and a bot that was never started has none.
    const value = figure?.series.length ? row.read(reading, before ?? reading) : 0;
    row.element.hidden = !figure?.series.length;
    row.title.title = figure?.help ?? "";
    row.lately.push(Number.isFinite(value) ? value : null);
    if (row.lately.length > KEPT) row.lately.shift();
    const last = row.lately.findLast((each) => each !== null) ?? null;
    const text = last === null ? "–" : row.write(last);
    if (row.value.textContent !== text) row.value.textContent = text;
    row.element.className = row.bad && last ? "bad" : "";
    row.line.setAttribute("d", path(row.lately));
  }
  before = reading;
}

/** The line of the latest values, which ends at the right. Where there is no value it has a gap. */
function path(values) {
  const most = Math.max(...values.map((each) => each ?? 0)) || 1;
  let pen = "M";
  let drawn = "";
  values.forEach((each, index) => {
    if (each === null) pen = "M";
    else {
      const x = KEPT - values.length + index;
      // A single value is a dot.
      drawn += `${pen}${x} ${1 - each / most}${pen === "M" ? "h0" : ""}`;
      pen = "L";
    }
  });
  return drawn;
}
