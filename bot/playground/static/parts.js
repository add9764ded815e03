// What hangs below a message's text: files, embeds, buttons and menus, thread, reactions.

import { h, icon } from "./dom.js";
import { fileSize, listed } from "./format.js";
import { voicePlayer } from "./player.js";
import { state } from "./state.js";

/** Only these addresses become links; anything else is shown as text. */
const isSafe = (address) => /^(https?:|attachments\/)/i.test(address ?? "");
const outside = (address) => ({ href: address, target: "_blank", rel: "noreferrer noopener" });

export function attachments({ attachments: files }) {
  if (!files.length) return null;
  return h(
    "div",
    { class: "files" },
    files.map((file) =>
      !isSafe(file.url) ? card(file) : file.voice ? voicePlayer(file) : file.image ? image(file) : card(file),
    ),
  );
}

function image(file) {
  return h(
    "a",
    { ...outside(file.url), title: file.name },
    h("img", { src: file.url, alt: file.name, loading: "lazy", decoding: "async" }),
  );
}

function card(file) {
  return h(
    "a",
    { class: "file", ...(isSafe(file.url) ? { href: file.url, download: file.name } : {}) },
    icon("file"),
    h(
      "span",
      { class: "file-text" },
      h("span", { class: "file-name" }, file.name),
      h("span", { class: "file-size" }, fileSize(file.size)),
    ),
  );
}

export function embeds({ embeds: list }) {
  if (!list.length) return null;
  return h(
    "div",
    { class: "embeds" },
    list.map((embed) =>
      h(
        "div",
        { class: "embed" },
        embed.title &&
          (isSafe(embed.url)
            ? h("a", { class: "embed-title", ...outside(embed.url) }, embed.title)
            : h("span", { class: "embed-title" }, embed.title)),
        embed.html && h("div", { class: "md", html: embed.html }),
      ),
    ),
  );
}

export function componentRows({ rows }) {
  if (!rows.length) return null;
  return h(
    "div",
    { class: "rows" },
    rows.map((row) =>
      h(
        "div",
        { class: "row" },
        row.map((each) => (each.kind === "select" ? select(each) : button(each))),
      ),
    ),
  );
}

function button(each) {
  const inside = [each.emoji && h("span", { "aria-hidden": each.label ? "true" : undefined }, each.emoji), each.label];
  if (each.style === "link")
    return isSafe(each.url)
      ? h("a", { class: "btn link", ...outside(each.url) }, ...inside, icon("link"))
      : h("span", { class: "btn link" }, ...inside);
  return h(
    "button",
    {
      type: "button",
      class: `btn ${each.style}`,
      disabled: each.disabled,
      data: { do: "press", customId: each.custom_id },
    },
    ...inside,
  );
}

function select(each) {
  const chosen = each.options.find((option) => option.chosen);
  return h(
    "select",
    {
      class: "pick",
      disabled: each.disabled,
      data: { customId: each.custom_id },
      "aria-label": chosen?.label || each.placeholder || "Choose",
    },
    h("option", { value: "", disabled: true, selected: !chosen, hidden: true }, each.placeholder || "Choose"),
    each.options.map((option, index) =>
      h(
        "option",
        { value: `${index}`, selected: option.chosen, data: { value: option.value }, title: option.description },
        option.label,
      ),
    ),
  );
}

export function threadCard({ thread }) {
  if (!thread) return null;
  const count = thread.count ? `${thread.count} message${thread.count === 1 ? "" : "s"} ›` : "Open thread ›";
  return h(
    "button",
    { type: "button", class: "thread-card", data: { do: "go", channel: thread.id } },
    icon("thread"),
    h("b", {}, thread.name),
    h("span", {}, count),
  );
}

export function reactions({ reactions: list }) {
  if (!list.length) return null;
  return h(
    "div",
    { class: "reactions" },
    list.map((reaction) => {
      const names = reaction.users.map((id) => (id === state.me ? "you" : (state.people.get(id)?.name ?? "somebody")));
      const mine = reaction.users.includes(state.me);
      return h(
        "button",
        {
          type: "button",
          class: "reaction",
          "aria-pressed": `${mine}`,
          title: listed.format(names),
          data: { do: "react", emoji: reaction.emoji },
        },
        h("span", { html: reaction.html }),
        h("span", {}, `${reaction.users.length}`),
      );
    }),
    h(
      "button",
      {
        type: "button",
        class: "reaction add",
        data: { do: "pick-emoji" },
        "aria-label": "Add a reaction",
        title: "Add a reaction",
      },
      icon("smile"),
    ),
  );
}
