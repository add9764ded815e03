// Following the end of a list that grows, for as long as the person does not scroll up.

const NEAR = 32;

export class Follow {
  #scroller;
  #isEnd;
  #onChange;
  #onScroll;
  #on = true;
  #lastTop = 0;
  #settled = "";

  /**
   * `isEnd()`: whether the content's end is the list's end; `onChange()` hears that following began or ended; `onScroll(move)`
   * hears of the person's own moves: {up, above, below}, in pixels.
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content
   * @param {{ isEnd?: () => boolean, onChange?: () => void, onScroll?: (move: { up: boolean, above: number, below: number }) => void }} options
   */
  constructor(scroller, content, { isEnd = () => true, onChange = () => {}, onScroll = () => {} } = {}) {
    this.#scroller = scroller;
    this.#isEnd = isEnd;
    this.#onChange = onChange;
    this.#onScroll = onScroll;
    scroller.classList.add("following");
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // After the layout and before the paint: nobody has to ask for the layout, and nothing is seen to jump.
    const sizes = new ResizeObserver(() => this.#on && this.toEnd());
    sizes.observe(content);
    sizes.observe(scroller);
  }

  get on() {
    return this.#on;
  }

  set on(value) {
    if (value === this.#on) return;
    this.#on = value;
    this.#scroller.classList.toggle("following", value);
    this.#onChange();
  }

  toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.moved();
    this.#settled = this.#sizes();
  }

  /** The scroll position was set by the page. */
  moved() {
    this.#lastTop = this.#scroller.scrollTop;
  }

  #sizes() {
    return `${this.#scroller.scrollHeight} ${this.#scroller.clientHeight}`;
  }

  #scrolled() {
    // Not the person but something that changed its size, as the composer does; the observer follows in this frame.
    if (this.#on && this.#settled !== this.#sizes()) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const below = scrollHeight - scrollTop - clientHeight;
    const up = scrollTop < this.#lastTop - 1;
    this.#lastTop = scrollTop;
    // Only a move up ends the following: what grew since the last frame leaves something below as well.
    // Who follows goes on: what came since the last frame is in the list, and not yet in the content.
    if (below < (up ? 4 : NEAR)) this.on ||= this.#isEnd();
    else if (up) this.on = false;
    this.#onScroll({ up, above: scrollTop, below });
  }
}
