// Times, sizes and ids as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const exact = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
// Discord's styles of <t:…:style>.
const styles = {
  t: clock,
  T: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
  d: new Intl.DateTimeFormat(undefined, { dateStyle: "short" }),
  D: day,
  f: new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" }),
  F: full,
  s: new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" }),
  S: new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" }),
};

const startOfDay = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** A key that is the same for all times of one local day. `at`: seconds since the epoch, as everywhere here. */
export const dayKey = (at) => startOfDay(new Date(at * 1000));
export const timeOfDay = (at) => clock.format(at * 1000);
export const longDay = (at) => day.format(at * 1000);
export const fullTime = (at) => full.format(at * 1000);
export const seconds = (at) => exact.format(at * 1000);

/** What stands beside an author's name: the time, with the day where it is not today. */
export function stamp(at) {
  const days = Math.round((startOfDay(new Date()) - dayKey(at)) / 86_400_000);
  if (days <= 0) return timeOfDay(at);
  return days === 1 ? `Yesterday at ${timeOfDay(at)}` : `${shortDay.format(at * 1000)}, ${timeOfDay(at)}`;
}

/** @type {[number, Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [
  [60, "second", 1],
  [3600, "minute", 60],
  [86_400, "hour", 3600],
  [2_592_000, "day", 86_400],
  [31_536_000, "month", 2_592_000],
  [Infinity, "year", 31_536_000],
];

function ago(at) {
  const away = at - Date.now() / 1000;
  const [, unit, length] = STEPS.find(([limit]) => Math.abs(away) < limit);
  return relative.format(Math.round(away / length), unit);
}

/** Write the times below `root` in the reader's language and zone. */
export function localizeTimes(root) {
  for (const element of root.querySelectorAll("time[data-style]")) {
    const at = Date.parse(element.dateTime) / 1000;
    if (Number.isNaN(at)) continue;
    const style = element.dataset.style;
    const text = style === "R" ? ago(at) : (styles[style] ?? styles.f).format(at * 1000);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = fullTime(at);
  }
}

/** A length as players show it. */
export function clockTime(length) {
  const whole = Math.round(length);
  return `${Math.floor(whole / 60)}:${`${whole % 60}`.padStart(2, "0")}`;
}

/** A size as Discord counts it: 1,024 bytes are a KB. */
export function fileSize(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const [value, unit] = bytes < 2 ** 20 ? [bytes / 2 ** 10, "KB"] : [bytes / 2 ** 20, "MB"];
  return `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
}

/** Snowflakes do not fit a JS number; as decimal strings they sort by length first. */
export const compareIds = (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);

export const listed = new Intl.ListFormat("en", { type: "conjunction" });
/** Discord counts code points. */
export const codePoints = (text) => [...text].length;
