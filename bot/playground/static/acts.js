// What a person does with messages, channels and people, told to the server. Refusals come up as toasts.

import { h } from "./dom.js";
import { askPost, askThreadName, confirmDelete } from "./dialogs.js";
import { openMenu } from "./menu.js";
import { toDiscord } from "./names.js";
import { me, moderates, place, state } from "./state.js";
import { sayWhy, toast } from "./toast.js";

let connection = null;
export const useConnection = (each) => (connection = each);

/** Ask the server; rejects with the sentence for the person. */
export const ask = (what, fields) => connection.ask(what, fields);
/** Ask the server and let a refusal be a toast. Resolves with the answer or null. */
export const tell = (what, fields) =>
  ask(what, fields).catch((error) => {
    sayWhy(error);
    return null;
  });

export const isMine = (message) => message.author.id === state.me;
export const canEdit = (message) => isMine(message) && message.editable;
export const canDelete = (message) =>
  !message.ephemeral && (isMine(message) || (moderates() && message.deletable_by_moderator && place()?.kind !== "dm"));
export const canReply = (message) => !message.ephemeral && message.kind !== "system" && Boolean(place()?.writable);
export const canThread = (message) =>
  place()?.kind === "text" && !message?.thread && !message?.ephemeral && message?.kind !== "system";

export function remove(message, { atOnce = false } = {}) {
  if (atOnce) return void tell("delete", { message: message.id });
  const here = place();
  const name = { dm: "your direct messages", thread: `the thread “${here?.name}”`, text: `#${here?.name}` }[here?.kind];
  const whose = isMine(message) ? "your" : `${message.author.name}'s`;
  confirmDelete(message, { whose, where: `It disappears from ${name}.` }, () => ask("delete", { message: message.id }));
}

export function toggleReaction(message, emoji) {
  const mine = message.reactions.find((each) => each.emoji === emoji)?.users.includes(state.me);
  return tell(mine ? "unreact" : "react", { message: message.id, emoji });
}

const EMOJI = [
  ["👍", "thumbs up"],
  ["👎", "thumbs down"],
  ["❤️", "heart"],
  ["😂", "laughing"],
  ["🎉", "party"],
  ["👀", "eyes"],
  ["🤔", "thinking"],
  ["🙏", "thank you"],
  ["🔥", "fire"],
  ["✅", "done"],
  ["❌", "no"],
  ["🚀", "rocket"],
];

export function pickEmoji(message, at) {
  const items = EMOJI.map(([emoji, name]) => ({
    lead: h("span", { "aria-hidden": "true" }, emoji),
    name,
    run: () => tell("react", { message: message.id, emoji }),
  }));
  openMenu(at, items, { label: "Add a reaction", grid: true });
}

export function startThread(message, open) {
  const suggested = (message?.raw ?? "")
    .replace(/<[^\s<>]+>|[*_~|`]+/g, "")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 60);
  askThreadName(suggested, async (name) => {
    const { channel } = await ask("thread", { channel: state.channel, message: message?.id ?? null, name });
    if (channel) open(channel);
  });
}

export function startPost(open) {
  askPost(async (title, text) => {
    const { channel } = await ask("post", { channel: state.channel, title, content: toDiscord(text) });
    if (channel) open(channel);
  });
}

export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(what, "info");
    return true;
  } catch {
    toast("Your browser blocks copying here. Select the text and copy it yourself.");
    return false;
  }
}

export function runContextCommand(command, { message = null, user = null }) {
  return tell("menu", { channel: state.channel, command: command.name, message, user });
}

export const commandsOf = (kind) => state.commands.filter((command) => command.kind === kind);
export const speaksAs = (person) => person.id === me()?.id;
