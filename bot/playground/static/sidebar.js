// The left column: where one can go, what is unread there, and whom one speaks as.

import { avatar, byId, closest, h, icon, isNarrow, tab } from "./dom.js";
import { compareIds } from "./format.js";
import { openMenu } from "./menu.js";
import { humans, me, on, place, placeIcon, RANKS, state } from "./state.js";

const list = byId("places");
/** @type {(channel: string) => void} */
let go = () => {};

/** The last message read in each channel, for each person of this tab. */
const seen = tab.get("seen", {});

export function setUpSidebar({ openChannel, become }) {
  go = openChannel;
  list.addEventListener("click", (event) => {
    const button = closest(event, "[data-channel]");
    if (button) go(button.dataset.channel);
  });
  byId("me").addEventListener("click", () => chooseMe(become));
  byId("side-open").addEventListener("click", () => setSide(true));
  byId("side-close").addEventListener("click", () => setSide(false));
  byId("scrim").addEventListener("click", () => setSide(false));
  byId("side").addEventListener("keydown", (event) => event.key === "Escape" && isNarrow() && setSide(false));
  on("places", draw);
  on("channel", draw);
  on("bot", draw);
  on("me", drawMe);
  on("people", drawMe);
}

export function setSide(open) {
  byId("side").classList.toggle("open", open);
  byId("scrim").hidden = !open;
  const current = /** @type {HTMLElement | null} */ (list.querySelector('[aria-current="page"]'));
  if (open) (current ?? byId("side-close")).focus();
  else if (byId("side").contains(document.activeElement)) byId("side-open").focus();
}

// Unread

const seenHere = () => (seen[state.me] ??= {});

export const lastSeen = (channel) => seenHere()[channel] ?? null;

export function markRead(channel, id) {
  const here = seenHere();
  if (!id || (here[channel] && compareIds(here[channel], id) >= 0)) return;
  here[channel] = id;
  tab.set("seen", seen);
  draw();
}

/** Whatever was there before this person first looked counts as read. */
export function startReading() {
  if (seen[state.me]) return;
  for (const each of state.places) seenHere()[each.id] = each.last ?? "0";
  tab.set("seen", seen);
}

const isUnread = (each) =>
  each.id !== state.channel && each.kind !== "forum" && Boolean(each.last) && compareIds(each.last, seenHere()[each.id] ?? "0") > 0;

// Places

const isChannel = (each) => each.kind === "text" || each.kind === "forum";

/** The channels in the order they are shown, each with its threads after it. */
export function ordered() {
  const children = (id) => state.places.filter((each) => each.kind === "thread" && each.parent === id);
  const texts = state.places.filter(isChannel);
  return [
    ...texts.flatMap((each) => [each, ...children(each.id)]),
    ...state.places.filter((each) => each.kind === "dm"),
  ];
}

function draw() {
  if (!state.places.length) return;
  const button = document.activeElement?.closest?.("#places [data-channel]");
  const focused = /** @type {HTMLElement | null} */ (button)?.dataset.channel;
  const channels = state.places.filter(isChannel);
  const direct = state.places.filter((each) => each.kind === "dm");
  list.replaceChildren(
    h("h3", {}, "Channels"),
    h("ul", {}, channels.map(channelItem)),
    ...(direct.length
      ? [
          h("h3", {}, "Direct messages"),
          h(
            "ul",
            {},
            direct.map((each) => h("li", {}, placeButton(each))),
          ),
        ]
      : []),
  );
  const again = focused ? list.querySelector(`[data-channel="${CSS.escape(focused)}"]`) : null;
  /** @type {HTMLElement | null} */ (again)?.focus();
  byId("side-dot").hidden = !state.places.some(isUnread);
  const here = place();
  document.title = `${here ? (isChannel(here) ? `#${here.name}` : here.name) : "Parley"} | ${state.guild.name || "Playground"}`;
}

function channelItem(channel) {
  const threads = state.places.filter(
    (each) => each.kind === "thread" && each.parent === channel.id && (!each.archived || each.id === state.channel),
  );
  return h(
    "li",
    {},
    placeButton(channel),
    threads.length
      ? h(
          "ul",
          { class: "threads" },
          threads.map((each) => h("li", {}, placeButton(each))),
        )
      : null,
  );
}

function placeButton(each) {
  const unread = isUnread(each);
  const lead =
    each.kind === "dm"
      ? h("span", { class: `presence ${state.botState}` }, avatar(state.bot, "small"))
      : isChannel(each)
        ? icon(placeIcon(each))
        : null;
  return h(
    "button",
    {
      type: "button",
      class: `place${unread ? " unread" : ""}${each.archived ? " archived" : ""}`,
      data: { channel: each.id },
      "aria-current": each.id === state.channel ? "page" : null,
    },
    lead,
    h("span", { class: "place-name" }, each.name),
    unread && h("span", { class: "visually-hidden" }, ", unread"),
  );
}

// Speaking as somebody

function drawMe() {
  const person = me();
  if (!person) return;
  const rank = RANKS[person.rank] ?? "Member";
  const article = rank === "Owner" ? "the" : "a";
  byId("me").setAttribute(
    "aria-label",
    `You speak as ${person.name}, ${article} ${rank.toLowerCase()}. Switch to someone else`,
  );
  byId("me").replaceChildren(
    avatar(person, "small"),
    h(
      "span",
      { class: "me-text" },
      h("span", { class: "me-name" }, person.name, " ", rankIcon(person)),
      h("span", { class: "me-hint" }, `${rank} · switch`),
    ),
    icon("people"),
  );
}

export function rankIcon(person) {
  return RANKS[person.rank]
    ? icon(person.rank === "owner" ? "crown" : "shield", {
        label: RANKS[person.rank],
        className: `rank ${person.rank}`,
      })
    : "";
}

function chooseMe(become) {
  const items = humans().map((person) => ({
    label: person.name,
    lead: avatar(person),
    checked: person.id === state.me,
    side: rankIcon(person) || null,
    hint: RANKS[person.rank] ?? "Member",
    run: () => become(person.id),
  }));
  openMenu(
    byId("me"),
    [
      { title: "Speak as" },
      ...items,
      "line",
      { note: "The owner runs the server and the bot. Moderators may manage the server, so they see more commands." },
      { note: "This changes only this tab. Open a second tab to be two people at once." },
    ],
    { label: "Speak as" },
  );
}
