// The messages of the open channel in order, bounded. No DOM here.

import { compareIds } from "./format.js";

/** As many messages as are held while somebody reads far above the newest. */
const HELD = 1000;

export class Timeline {
  list = [];
  byId = new Map();
  /** Whether the server has older ones. */
  more = false;
  /** Whether newer ones were let go, so that the end of the list is not the newest. */
  cut = false;

  reset(messages = [], more = false) {
    this.list = [];
    this.byId.clear();
    this.more = more;
    this.cut = false;
    this.put(messages, true);
  }

  /** Take new and changed messages. Returns the ids that are new here and those that changed. */
  put(messages, complete = false) {
    const added = [];
    const changed = [];
    for (const message of messages) {
      const known = this.byId.get(message.id);
      if (known) {
        this.list[this.#position(message.id)] = message;
        changed.push(message.id);
      } else {
        const at = this.#position(message.id);
        // An edit of something older than what is loaded, or newer than what is held, is not for this list.
        if (!complete && ((at === 0 && this.more && this.list.length) || (at === this.list.length && this.cut)))
          continue;
        this.list.splice(at, 0, message);
        added.push(message.id);
      }
      this.byId.set(message.id, message);
    }
    if (this.list.length > HELD) this.#drop(this.list.splice(HELD), () => (this.cut = true));
    return { added: added.filter((id) => this.byId.has(id)), changed };
  }

  /** Take older ones, all of them older than what is here. Returns how many are new. */
  prepend(messages, more) {
    const fresh = messages.filter((message) => !this.byId.has(message.id));
    for (const message of fresh) this.byId.set(message.id, message);
    this.list.unshift(...fresh);
    this.more = more;
    if (this.list.length > HELD) this.#drop(this.list.splice(HELD), () => (this.cut = true));
    return fresh.length;
  }

  remove(ids) {
    const gone = new Set(ids.filter((id) => this.byId.delete(id)));
    if (gone.size) this.list = this.list.filter((message) => !gone.has(message.id));
    return gone.size > 0;
  }

  /** Let the oldest fall off until `count` are left. */
  keepNewest(count) {
    if (this.list.length > count) this.#drop(this.list.splice(0, this.list.length - count), () => (this.more = true));
  }

  indexOf(id) {
    const at = this.#position(id);
    return this.list[at]?.id === id ? at : -1;
  }

  /** Where the id stands or would stand. Nearly always near the end. */
  #position(id) {
    let low = 0;
    let high = this.list.length;
    if (high && compareIds(this.list[high - 1].id, id) < 0) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareIds(this.list[middle].id, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #drop(messages, then) {
    for (const message of messages) this.byId.delete(message.id);
    then();
  }
}
