// What stands where a channel begins: where one is, and what will last.

import { avatar, byId, closest, h, icon } from "./dom.js";
import { on, place, placeIcon, state } from "./state.js";

let drawn = null;

export function setUpBeginning({ openChannel }) {
  const box = byId("beginning");
  box.addEventListener("click", (event) => {
    const post = closest(event, "[data-channel]");
    if (post) openChannel(post.dataset.channel);
  });
  on("places", () => showBeginning(!box.hidden));
}

/** Shown when the log reaches the channel's first message. */
export function showBeginning(visible) {
  const box = byId("beginning");
  box.hidden = !visible;
  const here = place();
  if (!visible || !here) return;
  const posts = here.kind === "forum" ? state.places.filter((each) => each.parent === here.id).reverse() : [];
  const key = JSON.stringify([here.kind, here.name, state.bot.name, posts.map((each) => [each.id, each.name])]);
  if (key === drawn) return;
  drawn = key;
  const mark = h(
    "div",
    { class: "beginning-mark" },
    here.kind === "dm" ? avatar(state.bot) : icon(placeIcon(here)),
  );
  const title = here.kind === "dm" ? state.bot.name : here.kind === "thread" ? here.name : `Welcome to #${here.name}`;
  box.replaceChildren(mark, h("h2", {}, title), ...words(here).map((text) => h("p", {}, text)), ...posts.map(card));
}

/** A post of a forum, which opens with a click. */
function card(post) {
  return h(
    "button",
    { type: "button", class: "thread-card", data: { channel: post.id } },
    icon("thread"),
    h("b", {}, post.name),
    post.archived && h("span", {}, "Archived"),
  );
}

function words(here) {
  const { name } = state.bot;
  if (here.kind === "forum")
    return [`Open a post with the button above. Mention @${name} in it: each post is a conversation of its own.`];
  if (here.kind === "thread") return [`${name} remembers this thread apart from its channel.`];
  const lives = `This Discord runs on your computer only. Its messages are gone when you stop it, but ${name} remembers the conversation.`;
  const how =
    here.kind === "dm"
      ? `These are your direct messages with ${name}. You don't need to mention it here.`
      : `Mention @${name} in a message to get an answer.`;
  return [how, lives];
}
