// Recording a voice message: a bar in place of the message box, until it is sent or thrown away.

import { byId, h, iconButton } from "./dom.js";
import { clockTime } from "./format.js";
import { toast } from "./toast.js";
import { canEncode } from "./voice.js";

/** Discord ends a recording there. */
const LONGEST_MS = 20 * 60_000;
const TICK_MS = 250;
const bar = byId("recording");

const REASONS = {
  NotFoundError: "This computer has no microphone. Connect one, or add an audio file and send it as a voice message.",
  NotAllowedError: "The browser doesn't allow this page to use the microphone. Allow it beside the address, then try again.",
  NotReadableError: "The microphone doesn't answer. Close other programs that use it, then try again.",
};

export class Recorder {
  #stream = null;
  #recorder = null;
  #parts = [];
  #length = 0;
  #since = 0;
  #ticks = 0;
  #opening = false;
  #time = h("span", { class: "recording-time", role: "timer", "aria-live": "off" });
  #state = h("span", { class: "recording-state", role: "status" });
  #discard = iconButton("trash", "Discard the recording", { on: { click: () => this.close() } });
  #onChange;

  /** `onChange(refocus)` is called when the bar has come or gone. */
  constructor(onChange) {
    this.#onChange = onChange;
    bar.append(
      this.#discard,
      h("span", { class: "recording-dot", "aria-hidden": "true" }),
      this.#time,
      this.#state,
    );
  }

  get isOpen() {
    return !bar.hidden;
  }

  async open() {
    if (this.isOpen || this.#opening) return;
    if (!navigator.mediaDevices || !("MediaRecorder" in window) || !canEncode())
      return toast("This browser can't record voice messages. Try a current Chrome, Edge, Firefox or Safari.");
    this.#opening = true;
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch (/** @type {any} */ error) {
      return toast(REASONS[error.name] ?? "The microphone couldn't be opened. Check it, then try again.");
    } finally {
      this.#opening = false;
    }
    this.#parts = [];
    this.#length = 0;
    this.#recorder = new MediaRecorder(this.#stream);
    this.#recorder.addEventListener("dataavailable", (event) => this.#parts.push(event.data));
    // It ends by itself where the microphone is unplugged.
    this.#recorder.addEventListener("stop", () => this.#stopped());
    this.#recorder.start();
    this.#since = performance.now();
    this.#ticks = setInterval(() => this.#tick(), TICK_MS);
    bar.hidden = false;
    this.#tick();
    this.#state.textContent = "Recording…";
    bar.classList.add("live");
    this.#onChange(true);
  }

  /** Send what was recorded by `send(recording)`, which resolves with whether it was sent. If not, it can be tried again. */
  async sendBy(send) {
    this.#discard.disabled = true;
    const recording = await this.#finished();
    this.#state.textContent = "Sending…";
    const isSent = await send(recording);
    this.#discard.disabled = false;
    this.#state.textContent = "Not sent";
    if (isSent) this.close();
  }

  async #finished() {
    if (this.#recorder.state !== "inactive") {
      const stopped = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve, { once: true }));
      this.#recorder.stop();
      await stopped;
    }
    return new Blob(this.#parts, { type: this.#recorder.mimeType });
  }

  /** Throw away what was recorded, unless it is being sent. */
  close({ refocus = true } = {}) {
    if (!this.isOpen || this.#discard.disabled) return;
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    this.#stopped();
    this.#parts = [];
    bar.hidden = true;
    this.#onChange(refocus);
  }

  #tick() {
    this.#length = performance.now() - this.#since;
    this.#time.textContent = clockTime(Math.floor(this.#length / 1000));
    if (this.#length >= LONGEST_MS) this.#recorder.stop();
  }

  #stopped() {
    clearInterval(this.#ticks);
    for (const track of this.#stream.getTracks()) track.stop();
    bar.classList.remove("live");
    this.#state.textContent = "Recorded";
  }
}
