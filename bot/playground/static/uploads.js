// Files that go with the next message: uploaded at once, shown as chips, taken off again.

import { byId, closest, h, icon, iconButton } from "./dom.js";
import { fileSize } from "./format.js";
import { state } from "./state.js";
import { toast } from "./toast.js";

const chips = byId("chips");
const THUMBNAIL = 160;

export class Uploads {
  #files = [];
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    chips.addEventListener("click", (event) => {
      const chip = closest(event, "button")?.closest(".chip");
      if (chip) this.#remove(this.#files.find((each) => each.chip === chip));
    });
  }

  get count() {
    return this.#files.length;
  }

  get busy() {
    return this.#files.some((each) => !each.id);
  }

  add(files) {
    for (const file of files) {
      if (this.#files.length >= state.limits.files) {
        toast(`A message can have up to ${state.limits.files} files. Send the others with the next one.`);
        break;
      }
      if (file.size > state.limits.file_bytes)
        toast(`“${file.name}” is too large. Choose one of up to ${fileSize(state.limits.file_bytes)}.`);
      else this.#upload(file);
    }
    this.#changed();
  }

  /** The ids of all files, which then no longer wait here. */
  take() {
    const files = this.#files;
    this.#files = [];
    chips.replaceChildren();
    this.#changed();
    return files;
  }

  /** Files that were taken but could not be sent. */
  putBack(files) {
    this.#files = [...files, ...this.#files];
    chips.prepend(...files.map((each) => each.chip));
    this.#changed();
  }

  async #upload(file) {
    const note = h("span", { class: "chip-note" }, "Uploading…");
    const picture = h("span", { class: "chip-image" }, icon("file"));
    const name = file.name || "pasted.png";
    const chip = h(
      "li",
      { class: "chip" },
      picture,
      h("span", { class: "chip-name", title: name }, name),
      note,
      iconButton("trash", `Remove ${name}`),
    );
    const entry = { id: null, chip, stop: new AbortController() };
    this.#files.push(entry);
    chips.append(chip);
    if (file.type.startsWith("image/")) thumbnail(file, picture);
    try {
      const answer = await fetch(`files?name=${encodeURIComponent(name)}`, {
        method: "POST",
        body: file,
        headers: { "Content-Type": file.type || "application/octet-stream" },
        signal: entry.stop.signal,
      });
      if (!answer.ok) throw new Error((await answer.text()).slice(0, 200) || "The file wasn't uploaded. Add it again.");
      entry.id = (await answer.json()).file;
      note.textContent = fileSize(file.size);
    } catch (/** @type {any} */ error) {
      if (error.name === "AbortError") return;
      toast(
        error instanceof TypeError ? "The file wasn't uploaded. Check that the playground is running, then add it again." : error.message,
      );
      this.#remove(entry);
    }
    this.#onChange();
  }

  #remove(entry) {
    if (!this.#files.includes(entry)) return;
    entry.stop.abort();
    this.#files = this.#files.filter((each) => each !== entry);
    entry.chip.remove();
    this.#changed();
  }

  #changed() {
    chips.hidden = !this.#files.length;
    this.#onChange();
  }
}

/** Drawn on a canvas: the page's policy allows no blob: addresses. */
async function thumbnail(file, into) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, THUMBNAIL / Math.max(bitmap.width, bitmap.height));
    const canvas = h("canvas", {
      width: Math.max(1, bitmap.width * scale),
      height: Math.max(1, bitmap.height * scale),
    });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    into.replaceChildren(canvas);
  } catch {
    // Not a picture the browser reads; the icon stays.
  }
}
