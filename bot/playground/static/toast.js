// Short words on what went wrong or was done, and what a screen reader is told.

import { byId, h, icon } from "./dom.js";

const SHOWN_MS = 6000;
const AT_MOST = 3;

export function toast(text, kind = "error") {
  const box = byId("toasts");
  const element = h("div", { class: `toast ${kind}` }, icon(kind === "error" ? "warn" : "check"), h("span", {}, text));
  box.append(element);
  while (box.childElementCount > AT_MOST) box.firstElementChild.remove();
  setTimeout(() => element.remove(), SHOWN_MS);
}

/** For `.catch`: whatever was refused is said in the server's own words. */
export const sayWhy = (error) => {
  toast(error.message);
};

/** Read out, not shown. */
export function announce(text) {
  byId("announcer").textContent = text;
}
