// One message as an element, changed in place: each part is built anew only when its own data changed.

import { avatar, dots, h, icon } from "./dom.js";
import { fullTime, localizeTimes, stamp, timeOfDay } from "./format.js";
import { attachments, componentRows, embeds, reactions, threadCard } from "./parts.js";
import { RANKS, state } from "./state.js";

/**
 * The parts below a message's text, in their order, and what of the message each depends on.
 * @type {[string, (message: any) => any, (message: any) => any][]}
 */
const PARTS = [
  ["files", (message) => message.attachments, attachments],
  ["embeds", (message) => message.embeds, (message) => dress(embeds(message))],
  ["rows", (message) => message.rows, componentRows],
  ["thread", (message) => message.thread, threadCard],
  ["reactions", (message) => [message.reactions, state.me], reactions],
  ["foot", (message) => message.ephemeral, ephemeralNote],
];

const CONTROLS = ".context button, .body :is(button, select, a[href], [role=button], [role=link]):not(.editor *)";

export class MessageView {
  #keys = {};
  #slots = {};
  #head = null;
  #html = null;
  #edited = null;

  constructor(message) {
    this.id = message.id;
    this.face = h("span", { class: "face" });
    this.time = h("time", { id: `t-${message.id}` });
    this.meta = h("div", { class: "meta" });
    this.body = h("div", { class: "body", "aria-live": "off" });
    this.element = h("article", {
      class: "msg",
      id: `m-${message.id}`,
      tabindex: "-1",
      data: { id: message.id },
      "aria-labelledby": `n-${message.id} t-${message.id} c-${message.id}`,
    });
    this.content = h("div", { class: "md", id: `c-${message.id}` });
    this.body.append(this.content);
    this.element.append(this.face, this.meta, this.body);
    this.update(message);
  }

  /** Bring the element up to what the message is now. */
  update(message) {
    this.message = message;
    const { classList } = this.element;
    const mine = message.author.id !== state.me;
    classList.toggle("pings", mine && (message.mentions.includes(state.me) || message.mentions.includes("everyone")));
    classList.toggle("ephemeral", message.ephemeral);
    classList.toggle("system", message.kind === "system");
    this.#part("context", [message.reply, message.command], () => this.#context(message));
    this.#part(
      "meta",
      [
        message.author,
        message.at,
        message.silent,
        message.kind === "system" && message.html,
        state.people.get(message.author.id)?.rank,
      ],
      () => this.#meta(message),
    );
    this.#text(message);
    for (const [name, depends, build] of PARTS) {
      this.#part(name, depends(message), () => this.#slot(name, build(message)));
    }
    // The log is one Tab stop: the arrow keys lead to what is within a message.
    for (const control of this.controls) control.tabIndex = -1;
  }

  /** What can be pressed in the message, from its start to its end. */
  get controls() {
    return /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll(CONTROLS)]);
  }

  /** Whether it starts a group: with avatar and name, or only its text. */
  set head(head) {
    if (head === this.#head) return;
    this.#head = head;
    this.element.classList.toggle("head", head);
    this.time.textContent = head ? stamp(this.message.at) : timeOfDay(this.message.at);
  }

  #part(name, data, build) {
    const key = JSON.stringify(data);
    if (key === this.#keys[name]) return;
    this.#keys[name] = key;
    build();
  }

  #slot(name, element) {
    const old = this.#slots[name];
    this.#slots[name] = element;
    // What was pressed is often gone then; whoever uses the keyboard stays with the message.
    const had = old?.contains(document.activeElement);
    if (old && element) old.replaceWith(element);
    else if (old) old.remove();
    else if (element) {
      const later = PARTS.slice(PARTS.findIndex((part) => part[0] === name) + 1).map((part) => this.#slots[part[0]]);
      this.body.insertBefore(element, later.find(Boolean) ?? null);
    }
    if (had && this.element.isConnected) this.element.focus({ preventScroll: true });
  }

  #context(message) {
    this.element.querySelector(":scope > .context")?.remove();
    if (message.command) this.element.prepend(commandLine(message.command));
    else if (message.reply) this.element.prepend(replyLine(message.reply));
  }

  #meta(message) {
    const { author } = message;
    const rank = state.people.get(author.id)?.rank;
    this.face.replaceChildren(message.kind === "system" ? icon("thread") : avatar(author));
    this.time.dateTime = new Date(message.at * 1000).toISOString();
    this.time.title = fullTime(message.at);
    this.time.textContent = this.#head ? stamp(message.at) : timeOfDay(message.at);
    this.meta.replaceChildren(
      ...[
        h(
          "button",
          {
            type: "button",
            class: "name",
            id: `n-${message.id}`,
            tabindex: "-1",
            hue: author.hue,
            data: { do: "person" },
          },
          author.name,
        ),
        author.bot && h("span", { class: "app-tag" }, "APP"),
        RANKS[rank] && icon(rank === "owner" ? "crown" : "shield", { label: RANKS[rank], className: `rank ${rank}` }),
        message.kind === "system" && h("span", { class: "event-text", html: message.html }),
        this.time,
        message.silent && icon("bell-off", { label: "Sent without a notification", className: "silent" }),
      ].filter(Boolean),
    );
  }

  #text(message) {
    if (message.thinking || message.failed) {
      this.#part("state", [message.thinking, message.failed], () => {
        this.#html = null;
        this.content.replaceChildren(
          message.failed
            ? h("span", { class: "failed" }, icon("warn"), "The app didn't respond. Try again.")
            : h("span", { class: "thinking" }, dots(), `${message.author.name} is thinking…`),
        );
      });
      return;
    }
    delete this.#keys.state;
    if (message.html === this.#html && message.edited === this.#edited) return;
    this.#html = message.html;
    this.#edited = message.edited;
    const opened = [...this.content.querySelectorAll(".spoiler")].map((spoiler) => spoiler.classList.contains("open"));
    this.content.innerHTML = message.html;
    this.content.hidden = !message.html || message.kind === "system";
    dress(this.content, opened);
    if (message.edited) {
      this.content.append(h("span", { class: "edited" }, "(edited)"));
    }
  }
}

/** What the page adds to the server's HTML: copy buttons, spoilers that open by keyboard, local times. */
function dress(root, opened = []) {
  if (!root) return root;
  for (const pre of root.getElementsByTagName("pre")) {
    pre.append(
      h(
        "button",
        { type: "button", class: "copy", data: { do: "copy" }, "aria-label": "Copy the code", title: "Copy" },
        icon("copy"),
      ),
    );
  }
  for (const [index, spoiler] of [...root.querySelectorAll(".spoiler")].entries()) {
    spoiler.dataset.do = "spoiler";
    if (opened[index]) spoiler.classList.add("open");
    else {
      spoiler.setAttribute("role", "button");
      spoiler.setAttribute("aria-label", "Spoiler: press Enter to show it");
    }
  }
  for (const mention of root.querySelectorAll(".mention:is(.channel, .user, .command)")) {
    mention.dataset.do = mention.matches(".channel") ? "go" : mention.matches(".user") ? "person" : "command";
    mention.setAttribute("role", "link");
  }
  localizeTimes(root);
  return root;
}

function replyLine(reply) {
  if (reply.gone)
    return h(
      "div",
      { class: "context" },
      icon("reply"),
      h("span", { class: "quote" }, "The original message was deleted"),
    );
  const quote = h("button", {
    type: "button",
    class: "quote",
    data: { do: "jump", to: reply.id },
    "aria-label": "Go to the message replied to",
    html: reply.html || (reply.voice ? "<em>Voice message</em>" : "<em>A file</em>"),
  });
  localizeTimes(quote);
  // Within a button nothing else can be pressed.
  for (const inner of quote.querySelectorAll("[tabindex], a"))
    for (const name of ["tabindex", "role", "href"]) inner.removeAttribute(name);
  return h(
    "div",
    { class: "context" },
    avatar(reply.author, "tiny"),
    h("span", { class: "name", hue: reply.author.hue }, (reply.ping ? "@" : "") + reply.author.name),
    reply.author.bot && h("span", { class: "app-tag" }, "APP"),
    quote,
  );
}

function commandLine(command) {
  return h(
    "div",
    { class: "context" },
    avatar(command.user, "tiny"),
    h("span", { class: "name", hue: command.user.hue }, command.user.name),
    h("span", {}, "used"),
    h(
      "span",
      { class: "command" },
      command.slash ? `/${command.name}` : command.name,
    ),
  );
}

function ephemeralNote(message) {
  if (!message.ephemeral) return null;
  return h(
    "div",
    { class: "only-you" },
    icon("eye"),
    "Only you can see this ·",
    h("button", { type: "button", data: { do: "dismiss" } }, "Dismiss message"),
  );
}
