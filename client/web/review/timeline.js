// The whole video as a strip with the places to look at, and below it a stretch of it with a bar for each cover's life.

import { clamp, clock, shape } from "./draw.js";

const LANE_PX = 12;
const END_PX = 7;
const LEAST_S = 2;

export class Timeline {
  #drag = null;
  #window = [0, 0];

  /** `onSeek(frame)`, `onPick(name)`, `onSpan(name, first, last)`. */
  constructor(root, { times, onSeek, onPick, onSpan }) {
    Object.assign(this, { times, onSeek, onPick, onSpan, bars: [], places: [], now: 0, length_s: 20 });
    [this.whole, this.lanes, this.span] = ["#whole", "#lanes", "#span"].map((name) => root.querySelector(name));
    this.whole.setAttribute("aria-valuemax", times.length - 1);
    this.whole.addEventListener("pointerdown", (event) => this.#seekIn(this.whole, event, 0, times.length - 1));
    this.lanes.addEventListener("pointerdown", (event) => this.#down(event));
    this.lanes.addEventListener("pointermove", (event) => this.#move(event));
    this.lanes.addEventListener("pointerup", () => this.#up());
    new ResizeObserver(() => this.#draw()).observe(root);
  }

  /** `bars` [{name, kind, first, last, cuts}], `places` [{frame, seen}], `now` a frame. */
  show(told) {
    Object.assign(this, told);
    this.#draw();
  }

  zoom(factor) {
    this.length_s = clamp(this.length_s * factor, LEAST_S, Math.max(LEAST_S, 2 * this.times.at(-1)));
    this.#draw();
  }

  #draw() {
    const count = this.times.length;
    const shown = Math.min(count, Math.max(2, Math.round((this.length_s * count) / Math.max(this.times.at(-1), 0.001))));
    const first = clamp(Math.round(this.now - shown / 2), 0, count - shown);
    if (!this.#drag) this.#window = [first, first + shown - 1];
    this.#drawWhole();
    this.#drawLanes();
    const [from, to] = this.#window;
    this.span.textContent = `${clock(this.times[from])} – ${clock(this.times[to])}`;
    this.whole.setAttribute("aria-valuenow", this.now);
    this.whole.setAttribute("aria-valuetext", clock(this.times[this.now]));
  }

  #drawWhole() {
    const width = this.whole.clientWidth;
    const x = (frame) => (frame / Math.max(this.times.length - 1, 1)) * (width - 4);
    const [from, to] = this.#window;
    this.whole.replaceChildren(
      shape("rect", { x: 0, y: 0, width, height: 26, rx: 4, class: "back" }),
      shape("rect", { x: x(from), y: 0, width: Math.max(2, x(to) - x(from)), height: 26, class: "window" }),
      ...this.places.map(({ frame, seen }) =>
        shape("rect", { x: x(frame), y: 6, width: 3, height: 14, rx: 1, class: seen ? "place seen" : "place" })),
      shape("rect", { x: x(this.now), y: 0, width: 2, height: 26, class: "now" }),
    );
  }

  #drawLanes() {
    const [from, to] = this.#window;
    const width = this.lanes.clientWidth;
    const scale = width / (to - from + 1);
    const x = (frame) => (frame - from) * scale;
    const ends = [];
    const parts = [];
    for (const bar of this.bars) {
      const { name, kind, cuts } = bar;
      const [first, last] = this.#drag?.name === name ? this.#drag.span : [bar.first, bar.last];
      if (last < from || first > to) continue;
      let lane = ends.findIndex((end) => end < first);
      if (lane < 0) lane = ends.length;
      ends[lane] = last;
      const at = { y: lane * LANE_PX + 2, height: LANE_PX - 4 };
      const picked = name === this.picked;
      const long = Math.max(3, (last - first + 1) * scale);
      parts.push(shape("rect", { ...at, x: x(first), width: long, rx: 3, class: `life ${kind}${picked ? " picked" : ""}`, "data-name": name }));
      for (const [a, b] of cuts) parts.push(shape("rect", { ...at, x: x(a), width: (b - a + 1) * scale, class: "cut" }));
      if (!picked) continue;
      for (const [end, place] of [["first", x(first) - END_PX / 2], ["last", x(first) + long - END_PX / 2]]) {
        parts.push(shape("rect", { y: at.y - 1, height: at.height + 2, x: place, width: END_PX, rx: 2, class: "end", "data-end": end }));
      }
    }
    this.lanes.setAttribute("height", Math.max(4, ends.length) * LANE_PX);
    parts.push(shape("rect", { x: x(this.now) + scale / 2 - 1, y: 0, width: 2, height: "100%", class: "now" }));
    this.lanes.replaceChildren(...parts);
  }

  #frameAt(svg, event, first, last) {
    const box = svg.getBoundingClientRect();
    return clamp(first + Math.floor(((event.clientX - box.left) / box.width) * (last - first + 1)), first, last);
  }

  #seekIn(svg, event, first, last) {
    this.onSeek(this.#frameAt(svg, event, first, last));
  }

  #down(event) {
    const { end, name } = event.target.dataset;
    if (end) {
      const bar = this.bars.find((one) => one.name === this.picked);
      this.#drag = { name: bar.name, end, span: [bar.first, bar.last] };
      this.lanes.setPointerCapture(event.pointerId);
      return;
    }
    if (name) this.onPick(name);
    else this.#seekIn(this.lanes, event, ...this.#window);
  }

  #move(event) {
    if (!this.#drag) return;
    const frame = this.#frameAt(this.lanes, event, ...this.#window);
    const [first, last] = this.#drag.span;
    this.#drag.span = this.#drag.end === "first" ? [Math.min(frame, last), last] : [first, Math.max(frame, first)];
    this.#drawLanes();
  }

  #up() {
    if (!this.#drag) return;
    const { name, span } = this.#drag;
    this.#drag = null;
    this.onSpan(name, ...span);
  }
}
