// Menus that float: for a message, a person, the emoji. One is open at a time; arrow keys move, Esc closes.

import { h, icon } from "./dom.js";

let open = null;

/**
 * Open a menu at `at` ({x, y} or an element, above or below which it stands).
 * Items: {label, icon, lead, hint, danger, checked, run} | {title} | {note} | "line". With `grid` they stand in columns.
 * @param {any} at
 * @param {any[]} items
 * @param {{ label?: string, grid?: boolean }} options
 */
export function openMenu(at, items, { label, grid = false } = {}) {
  closeMenu();
  const returnTo = document.activeElement;
  const menu = h("div", {
    class: grid ? "menu emoji-grid" : "menu",
    role: "menu",
    "aria-label": label,
    tabindex: "-1",
  });
  menu.append(...items.map((item) => element(item)));
  menu.addEventListener("keydown", (event) => onKey(event, menu, grid));
  menu.addEventListener("contextmenu", (event) => event.preventDefault());
  // A dialog makes all outside itself inert, so that a menu opened in one has to be within it.
  (returnTo?.closest("dialog") ?? document.querySelector("main")).append(menu);
  position(menu, at);
  open = { menu, returnTo, opener: at instanceof Element ? at : null };
  open.opener?.setAttribute("aria-expanded", "true");
  const first = menu.querySelector('[aria-checked="true"]') ?? menu.querySelector(".menu-item");
  /** @type {HTMLElement | null} */ (first)?.focus({ preventScroll: true });
}

export function closeMenu({ refocus = true } = {}) {
  if (!open) return;
  const { menu, returnTo, opener } = open;
  open = null;
  const had = menu.contains(document.activeElement);
  opener?.setAttribute("aria-expanded", "false");
  menu.remove();
  if (refocus && had && returnTo?.isConnected) returnTo.focus({ preventScroll: true });
}

export const isMenuOpenFor = (opener) => open?.opener === opener;

addEventListener(
  "pointerdown",
  (event) => {
    if (open && !open.menu.contains(event.target) && !open.opener?.contains(event.target))
      closeMenu({ refocus: false });
  },
  true,
);
addEventListener("resize", () => closeMenu());
addEventListener("blur", () => closeMenu());

function element(item) {
  if (item === "line") return h("div", { class: "menu-line", role: "separator" });
  if (item.title) return h("div", { class: "menu-title", role: "presentation" }, item.title);
  if (item.note) return h("div", { class: "menu-note", role: "presentation" }, item.note);
  return h(
    "button",
    {
      type: "button",
      class: `menu-item${item.danger ? " danger" : ""}`,
      role: item.checked === undefined ? "menuitem" : "menuitemradio",
      "aria-checked": item.checked === undefined ? null : `${item.checked}`,
      "aria-label": item.name,
      title: item.name,
      tabindex: "-1",
      on: {
        click: (event) => {
          closeMenu();
          item.run(event);
        },
      },
    },
    item.lead ?? (item.icon && icon(item.icon)),
    item.label && h("span", { class: "label" }, item.label),
    item.side,
    item.hint && h("kbd", {}, item.hint),
  );
}

function position(menu, at) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const box = at instanceof Element ? at.getBoundingClientRect() : { left: at.x, right: at.x, top: at.y, bottom: at.y };
  const below = box.bottom + 4 + height <= innerHeight;
  const top = below ? box.bottom + 4 : Math.max(8, box.top - 4 - height);
  const left = Math.max(8, Math.min(box.left, innerWidth - width - 8));
  menu.style.left = `${left}px`;
  menu.style.top = `${Math.min(top, Math.max(8, innerHeight - height - 8))}px`;
}

function onKey(event, menu, grid) {
  const items = [...menu.querySelectorAll(".menu-item")];
  const at = items.indexOf(document.activeElement);
  const columns = grid ? 6 : 1;
  const steps = { ArrowDown: columns, ArrowUp: -columns, ...(grid && { ArrowRight: 1, ArrowLeft: -1 }) };
  let to = null;
  if (event.key in steps) to = (at + steps[event.key] + items.length) % items.length;
  else if (event.key === "Home") to = 0;
  else if (event.key === "End") to = items.length - 1;
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else if (event.key.length === 1 && /\S/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const order = [...items.slice(at + 1), ...items.slice(0, at + 1)];
    const found = order.find((item) => item.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()));
    if (found) to = items.indexOf(found);
  } else return;
  event.preventDefault();
  event.stopPropagation();
  if (to !== null) items[to]?.focus();
}
