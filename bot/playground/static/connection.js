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
  #gone = false;
  #onFrame;
  #onState;

  /** `onState` hears "open", "lost" and "ended" (trying again in both), and "gone" (for good). */
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
        new Refused(
          this.#gone
            ? "This address no longer works. Open the one that the terminal shows."
            : "Not connected to the playground. Check that it is running, then try again.",
        ),
      );
    const n = this.#next++;
    this.#socket.send(JSON.stringify({ n, do: what, ...fields }));
    return new Promise((resolve, reject) => this.#waiting.set(n, { resolve, reject }));
  }

  #connect() {
    if (this.#gone || (this.#socket && this.#socket.readyState <= WebSocket.OPEN)) return;
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#tries = 0;
      this.#ended = false;
      this.#onState("open");
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", () => socket === this.#socket && this.#lost());
  }

  #receive(frame) {
    if (frame.t === "ended") {
      // It may be started again, at the same address.
      this.#ended = true;
      return this.#socket.close();
    }
    if (frame.t !== "done") return this.#onFrame(frame);
    const waiting = this.#waiting.get(frame.n);
    this.#waiting.delete(frame.n);
    if (frame.error) waiting?.reject(new Refused(frame.error));
    else waiting?.resolve(frame);
  }

  async #lost() {
    this.#socket = null;
    for (const { reject } of this.#waiting.values()) reject(new Refused("The connection was lost. Try again when the page has reconnected."));
    this.#waiting.clear();
    this.#onState(this.#ended ? "ended" : "lost");
    if (this.#tries > 0 && (await this.#isGone())) {
      this.#gone = true;
      return this.#onState("gone");
    }
    const pause = Math.min(8000, 400 * 2 ** this.#tries++) * (0.75 + Math.random() / 2);
    setTimeout(() => this.#connect(), pause);
  }

  /** Whether something answers here that does not know this address: after a day a playground has a new one. */
  async #isGone() {
    try {
      return (await fetch(location.href, { method: "HEAD" })).status === 404;
    } catch {
      return false;
    }
  }
}
