// The bar above the messages: where one is, its buttons, the theme, the banner, who is typing.

import { startPost, startThread, tell } from "./acts.js";
import { avatar, browser, byId, dots, h, icon } from "./dom.js";
import { listed } from "./format.js";
import { on, place, placeIcon, state } from "./state.js";

const TYPING_LASTS_MS = 10_500;
let typingEnds = 0;

export function setUpHeader({ openChannel }) {
  byId("theme-button").addEventListener("click", switchTheme);
  byId("thread-button").addEventListener("click", () => {
    const here = place();
    if (here?.kind === "forum") startPost(openChannel);
    else if (here?.kind === "text") startThread(null, openChannel);
    else if (here) tell("archive", { channel: here.id, archived: !here.archived });
  });
  on("places", draw);
  on("channel", () => {
    draw();
    showTyping([]);
  });
  on("bot", drawBanner);
  on("connection", drawBanner);
  on("people", drawServer);
}

function draw() {
  const here = place();
  if (!here) return;
  byId("bar-icon").replaceChildren(
    here.kind === "dm" ? avatar(state.bot, "small") : icon(placeIcon(here)),
  );
  byId("bar-name").textContent = here.name;
  const parent = here.kind === "thread" ? place(here.parent) : null;
  byId("bar-topic").textContent =
    here.topic ||
    (parent
      ? `${parent.kind === "forum" ? "Post" : "Thread"} in #${parent.name}${here.archived ? ", archived" : ""}`
      : "");
  byId("bar-topic").title = here.topic ?? "";
  const button = byId("thread-button");
  const label =
    { text: "Start a thread", forum: "New post" }[here.kind] ??
    (here.archived ? "Reopen the thread" : "Archive the thread");
  button.hidden = here.kind === "dm" || (here.kind === "thread" && here.locked);
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon({ text: "thread", forum: "plus" }[here.kind] ?? "archive"));
}

function drawServer() {
  byId("server-name").textContent = state.guild.name;
  byId("server-model").textContent = state.model.demo
    ? "Offline demo model"
    : [state.model.name, state.model.host].filter(Boolean).join(" at ");
  byId("server-model").title = byId("server-model").textContent;
}

function switchTheme() {
  const root = document.documentElement;
  const isDark =
    getComputedStyle(root).colorScheme === "dark" ||
    (root.dataset.theme === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = isDark ? "light" : "dark";
  browser.set("theme", root.dataset.theme);
}

const BOT_AWAY = {
  starting: (name) => `${name} is starting…`,
  reconnecting: (name) => `${name} lost its connection to Discord and is reconnecting…`,
  stopped: (name) => `${name} is stopped. Start it again under “What Discord sees”, “Make something fail”.`,
};
const NOT_CONNECTED = {
  lost: "No connection to the playground. Trying again…",
  ended: "The playground was stopped. Start it again, and this page reconnects by itself.",
  gone: "This address no longer works. Open the one that the terminal shows.",
};

function drawBanner() {
  const banner = byId("banner");
  const text =
    state.connection === "open" ? BOT_AWAY[state.botState]?.(state.bot.name) : NOT_CONNECTED[state.connection];
  banner.classList.toggle("bad", state.connection === "gone");
  banner.hidden = !text;
  if (text && banner.textContent !== text) banner.textContent = text;
}

/** Who is typing, besides oneself. Forgotten by itself should the word that it ended be lost. */
export function showTyping(names) {
  clearTimeout(typingEnds);
  const line = byId("typing");
  if (!names.length) return line.replaceChildren();
  const who = names.length > 3 ? "Several people are typing…" : null;
  const text = who ? [who] : [h("b", {}, listed.format(names)), names.length === 1 ? " is typing…" : " are typing…"];
  line.replaceChildren(dots(), h("span", {}, ...text));
  typingEnds = setTimeout(() => line.replaceChildren(), TYPING_LASTS_MS);
}
