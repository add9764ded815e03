// Making elements, batching work per frame, and storage that may be forbidden.

/**
 * An element of the page, of the kind that the caller says it is.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export const byId = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * The innermost element around an event's target that fits the selector, the target included.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {Event} event
 * @param {string} selector
 * @returns {T | null}
 */
export const closest = (event, selector) => /** @type {Element} */ (event.target).closest(selector);

/**
 * An element. Strings become text, never HTML; `on` adds listeners, `data` fills the dataset, `html` is for the server's HTML only.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} props
 * @param {any[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on")
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "html") element.innerHTML = value;
    else if (name === "hue") element.style.setProperty("--hue", value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * An icon of the page's sprite. With a label it is read out, without one it is decoration.
 * @param {string} name
 * @param {{ label?: string, className?: string }} options
 */
export function icon(name, { label, className = "" } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${className}`.trim());
  if (label) {
    svg.setAttribute("role", "img");
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.append(title);
  } else svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export function iconButton(name, label, props = {}) {
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, ...props, class: `icon-button ${props.class ?? ""}`.trim() },
    icon(name),
  );
}

/** One Tab stop for a row of buttons, in which the arrow keys move. */
export function roving(row) {
  row.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...row.children];
    const from = all.indexOf(document.activeElement);
    all[(from + step + all.length) % all.length].focus();
  });
  row.addEventListener("focusin", (event) => {
    for (const each of row.children) each.tabIndex = each === event.target ? 0 : -1;
  });
}

/** A coloured circle with the initial; a bot's is rounder than round. */
export function avatar(user, className = "") {
  const initial = [...(user.name || "?").replace(/^[@#\s]+/, "")][0] ?? "?";
  return h(
    "span",
    { class: `avatar ${user.bot ? "bot " : ""}${className}`, hue: user.hue ?? 200, "aria-hidden": "true" },
    initial,
  );
}

export const dots = () => h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));

/** Many calls, one run in the next frame. A hidden tab has no frames, and so does no work. */
export function perFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

/** @param {"sessionStorage" | "localStorage"} kind */
function storage(kind) {
  return {
    get(key, otherwise = null) {
      try {
        return JSON.parse(window[kind].getItem(`parley.${key}`)) ?? otherwise;
      } catch {
        return otherwise;
      }
    },
    set(key, value) {
      try {
        if (value === null || value === undefined) window[kind].removeItem(`parley.${key}`);
        else window[kind].setItem(`parley.${key}`, JSON.stringify(value));
      } catch {
        // Forbidden or full: what is remembered is a comfort, not a need.
      }
    },
  };
}

/** What this tab remembers over a reload. */
export const tab = storage("sessionStorage");
/** What this browser remembers. */
export const browser = storage("localStorage");

export const isNarrow = () => matchMedia("(max-width: 760px)").matches;
