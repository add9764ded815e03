// What the page knows, and who wants to hear of a change. No DOM here.

export const state = {
  me: null,
  bot: { id: "", name: "Parley", bot: true, hue: 190 },
  guild: { id: "", name: "" },
  model: { demo: true, name: "", host: "" },
  /** Everybody, the bot included, by id. */
  people: new Map(),
  roles: [],
  limits: { content: 2000, files: 10, file_bytes: 25 * 2 ** 20 },
  places: [],
  channel: null,
  commands: [],
  switches: [],
  botState: "starting",
  /** "open", "lost", "ended" or "gone". */
  connection: "lost",
};

const listeners = new Map();

/** Hear of "people", "me", "places", "channel", "commands", "switches", "bot", "connection". */
export function on(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, []);
  listeners.get(topic).push(listener);
}

export function emit(topic, detail) {
  for (const listener of listeners.get(topic) ?? []) listener(detail);
}

export const place = (id = state.channel) => state.places.find((each) => each.id === id) ?? null;
export const placeIcon = (each) => ({ thread: "thread", forum: "forum" })[each.kind] ?? "hash";
export const me = () => state.people.get(state.me) ?? null;
export const humans = () => [...state.people.values()].filter((person) => !person.bot);
export const moderates = (person = me()) => person?.rank === "owner" || person?.rank === "moderator";
export const RANKS = { owner: "Owner", moderator: "Moderator" };
