// What a person writes (@Ada, #general) and what Discord is sent (<@id>, <#id>), there and back.

import { humans, state } from "./state.js";

const CODE = /(```[\s\S]*?```|`[^`\n]*`)/;
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Whom and what can be mentioned: {label, token, kind, person | role | place}. Labels are unique. */
export function mentionable() {
  const bot = state.people.get(state.bot.id) ?? state.bot;
  const people = [bot, ...humans()].filter((person) => person.id);
  const count = (name) => people.filter((person) => person.name === name).length;
  /** @type {{ label: string, token: string, kind: string, person?: any, role?: any, place?: any }[]} */
  const list = people.map((person) => ({
    label: count(person.name) > 1 ? `@${person.name} (${person.username})` : `@${person.name}`,
    token: `<@${person.id}>`,
    kind: "person",
    person,
  }));
  for (const role of state.roles) {
    if (role.name.startsWith("@")) continue;
    // The bot's own role has its name. Which of the two is meant must stay visible.
    list.push({
      label: count(role.name) ? `@${role.name} (role)` : `@${role.name}`,
      token: `<@&${role.id}>`,
      kind: "role",
      role,
    });
  }
  for (const place of state.places)
    if (place.kind !== "dm" && place.kind !== "category")
      list.push({ label: `#${place.name}`, token: `<#${place.id}>`, kind: "place", place });
  return list;
}

/** The text with its mentions as Discord takes them. What stands in code stays as it is. */
export function toDiscord(text) {
  const tokens = new Map(mentionable().map(({ label, token }) => [label.toLowerCase(), token]));
  if (!tokens.size) return text;
  const labels = [...tokens.keys()].sort((a, b) => b.length - a.length).map(escaped);
  const mention = new RegExp(`(?<![\\p{L}\\p{N}_@#<])(?:${labels.join("|")})(?![\\p{L}\\p{N}_])`, "giu");
  return text
    .split(CODE)
    .map((piece, index) =>
      index % 2 ? piece : piece.replace(mention, (label) => tokens.get(label.toLowerCase()) ?? label),
    )
    .join("");
}

/** The text as a person writes it. */
export function fromDiscord(raw) {
  const labels = new Map(mentionable().map(({ label, token }) => [token, label]));
  return raw.replace(/<(@!?|@&|#)(\d+)>/g, (token, kind, id) => labels.get(`<${kind.replace("!", "")}${id}>`) ?? token);
}
