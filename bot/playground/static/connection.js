// The websocket: requests with answers, frames for the others, and coming back after it broke.

const url = new URL("ws", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";

export class Refused extends Error {}

export class Connection {
  #socket = null;
  #waiting = new Map();
  #next = 1;
  #tries = 0;
  #ended = false;
  #onFrame;
  #onState;

  /** `onState` hears "open", "lost" (trying again) and "ended" (for good). */
  constructor(onFrame, onState) {
    this.#onFrame = onFrame;
    this.#onState = onState;
    this.#connect();
    // A laptop that wakes up should not sit out the rest of a pause.
    addEventListener("online", () => this.#connect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#connect());
  }

  /** Ask for something. Resolves with what the answer carries; rejects with `Refused` and its sentence. */
  ask(what, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN)
      return Promise.reject(
        new Refused(this.#ended ? "The playground has ended." : "Not connected. Please try again in a moment."),
      );
    const n = this.#next++;
    this.#socket.send(JSON.stringify({ n, do: what, ...fields }));
    return new Promise((resolve, reject) => this.#waiting.set(n, { resolve, reject }));
  }

  /** The playground said goodbye, or there is none any more at this address. */
  end() {
    this.#ended = true;
    this.#socket?.close();
    this.#onState("ended");
  }

  #connect() {
    if (this.#ended || (this.#socket && this.#socket.readyState <= WebSocket.OPEN)) return;
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#tries = 0;
      this.#onState("open");
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", () => socket === this.#socket && this.#lost());
  }

  #receive(frame) {
    if (frame.t === "ended") return this.end();
    if (frame.t !== "done") return this.#onFrame(frame);
    const waiting = this.#waiting.get(frame.n);
    this.#waiting.delete(frame.n);
    if (frame.error) waiting?.reject(new Refused(frame.error));
    else waiting?.resolve(frame);
  }

  async #lost() {
    this.#socket = null;
    for (const { reject } of this.#waiting.values()) reject(new Refused("The connection was lost. Please try again."));
    this.#waiting.clear();
    if (this.#ended) return;
    this.#onState("lost");
    if (this.#tries > 0 && (await this.#isGone())) return this.end();
    const pause = Math.min(8000, 400 * 2 ** this.#tries++) * (0.75 + Math.random() / 2);
    setTimeout(() => this.#connect(), pause);
  }

  /** Whether something answers here that does not know this address: a playground started anew has a new one. */
  async #isGone() {
    try {
      return (await fetch(location.href, { method: "HEAD" })).status === 404;
    } catch {
      return false;
    }
  }
}
