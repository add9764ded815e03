// Files that go with the next message: uploaded at once, shown as chips, taken off again.

import { byId, closest, h, icon, iconButton } from "./dom.js";
import { fileSize } from "./format.js";
import { state } from "./state.js";
import { toast } from "./toast.js";
import { voiceMessage } from "./voice.js";

const chips = byId("chips");
const THUMBNAIL = 160;
/** Not every browser knows the types of these. */
const VOICES = /\.(ogg|oga|opus|webm|m4a|mp3|wav)$/i;

/** Have `take(files)` called with what is chosen, pasted into the message box or dropped on the messages. */
export function acceptFiles(box, take) {
  /** @type {HTMLInputElement} */
  const chooser = byId("file-input");
  /** @type {HTMLElement} */
  const main = document.querySelector(".main");
  const drop = byId("drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const takeFrom = (event, data) => {
    if (!data?.files.length || box.disabled) return;
    event.preventDefault();
    take(data.files);
  };
  byId("attach").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    take(chooser.files);
    chooser.value = "";
    box.focus();
  });
  box.addEventListener("paste", (event) => takeFrom(event, event.clipboardData));
  main.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    drop.hidden = box.disabled;
  });
  main.addEventListener("dragleave", (event) => {
    if (!main.contains(/** @type {Node} */ (event.relatedTarget))) drop.hidden = true;
  });
  main.addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    takeFrom(event, event.dataTransfer);
    box.focus();
  });
}

/** Upload a sound as a voice message. Resolves with what stands for it in the list of a message's files. */
export async function uploadVoice(source) {
  const { file, seconds, waveform } = await voiceMessage(source);
  return { id: await upload(file, { seconds, waveform }) };
}

/** Upload a file and resolve with its id. Rejects with the sentence for the person. */
export async function upload(file, query, signal) {
  try {
    const answer = await fetch(`files?${new URLSearchParams(query)}`, {
      method: "POST",
      body: file,
      headers: { "Content-Type": file.type || "application/octet-stream" },
      signal,
    });
    if (!answer.ok) throw new Error((await answer.text()).slice(0, 200) || "The file wasn't uploaded. Add it again.");
    return (await answer.json()).file;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error("The file wasn't uploaded. Check that the playground is running, then add it again.");
  }
}

export class Uploads {
  #files = [];
  #onChange;
  #onVoice;

  /** `onVoice(file)` sends a file as a voice message, and resolves with whether it was sent. */
  constructor(onChange, onVoice) {
    this.#onChange = onChange;
    this.#onVoice = onVoice;
    chips.addEventListener("click", (event) => {
      const button = closest(event, "button");
      const entry = this.#files.find((each) => each.chip.contains(button));
      if (!button || !entry) return;
      if (button.matches(".as-voice")) this.#send(entry);
      else this.#takeOff(entry);
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
      file.type.startsWith("audio/") || VOICES.test(name)
        ? h("button", { type: "button", class: "small-button as-voice" }, "Send as voice message")
        : null,
      iconButton("trash", `Remove ${name}`),
    );
    const entry = { id: null, file, chip, stop: new AbortController() };
    this.#files.push(entry);
    chips.append(chip);
    if (file.type.startsWith("image/")) thumbnail(file, picture);
    try {
      entry.id = await upload(file, { name }, entry.stop.signal);
      note.textContent = fileSize(file.size);
    } catch (/** @type {any} */ error) {
      if (error.name === "AbortError") return;
      toast(error.message);
      this.#remove(entry);
    }
    this.#onChange();
  }

  async #send(entry) {
    const button = entry.chip.querySelector(".as-voice");
    button.disabled = true;
    if (await this.#onVoice(entry.file)) this.#takeOff(entry);
    else button.disabled = false;
  }

  /** Remove a file whose button was pressed. Who uses the keyboard goes on in the message box. */
  #takeOff(entry) {
    this.#remove(entry);
    byId("input").focus();
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
