// The frame, with its covers as outlines; a new cover is drawn on it, and an added one moved and resized.

import { clamp, shape } from "./draw.js";

const SMALLEST_PX = 6;
const HANDLE_PX = 12;

export class Picture {
  #drag = null;

  /** `onPick(name)`, `onAdd(box)`, `onMove(box)`: boxes [x0, y0, x1, y1] in pixels of the video. */
  constructor(screen, { width, height, onPick, onAdd, onMove }) {
    Object.assign(this, { screen, width, height, onPick, onAdd, onMove, adding: false, shown: [] });
    this.marks = screen.querySelector("svg");
    this.marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.marks.setAttribute("preserveAspectRatio", "none");
    screen.style.setProperty("--shape", width / height);
    screen.addEventListener("pointerdown", (event) => this.#down(event));
    screen.addEventListener("pointermove", (event) => this.#move(event));
    screen.addEventListener("pointerup", () => this.#up());
    screen.addEventListener("pointercancel", () => this.#end());
  }

  /** Shows a decoded image and its covers [{name, kind, box}]; `picked` is the name of the selected one. */
  show(image, covers, picked) {
    if (image) {
      this.screen.querySelector("img")?.remove();
      this.screen.prepend(image);
    }
    if (covers) this.shown = covers;
    this.picked = picked;
    this.#draw();
  }

  set drawing(on) {
    this.adding = on;
    this.screen.classList.toggle("adding", on);
  }

  #draw() {
    const parts = this.shown.map(({ name, kind, box }) => this.#ellipse(box, kind, name));
    const own = this.shown.find(({ name, kind }) => name === this.picked && kind === "added");
    if (own) parts.push(this.#handle(this.#drag?.box ?? own.box));
    if (this.#drag?.box && !own) parts.push(this.#ellipse(this.#drag.box, "added", ""));
    this.marks.replaceChildren(...parts);
  }

  #ellipse(box, kind, name) {
    const [x0, y0, x1, y1] = (name === this.picked && this.#drag?.box) || box;
    const at = { cx: (x0 + x1) / 2, cy: (y0 + y1) / 2, rx: (x1 - x0) / 2, ry: (y1 - y0) / 2 };
    return shape("ellipse", { ...at, class: `${kind}${name && name === this.picked ? " picked" : ""}`, "data-name": name });
  }

  #handle([, , x1, y1]) {
    const side = (HANDLE_PX * this.width) / this.screen.clientWidth;
    return shape("rect", { x: x1 - side / 2, y: y1 - side / 2, width: side, height: side, class: "handle" });
  }

  #at(event) {
    const box = this.screen.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  #down(event) {
    if (event.button) return;
    const from = this.#at(event);
    const own = this.shown.find(({ name, kind }) => name === this.picked && kind === "added");
    if (this.adding) this.#drag = { how: "add", from };
    else if (event.target.classList.contains("handle")) this.#drag = { how: "size", from, start: own.box };
    else if (own && event.target.dataset.name === own.name) this.#drag = { how: "move", from, start: own.box };
    else return this.onPick(event.target.dataset.name ?? null);
    this.screen.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  #move(event) {
    if (!this.#drag) return;
    const [x, y] = this.#at(event);
    const { how, from, start } = this.#drag;
    const [dx, dy] = [x - from[0], y - from[1]];
    if (how === "add") this.#drag.box = sorted([from[0], from[1], x, y]);
    else if (how === "move") this.#drag.box = moved(start, dx, dy, this);
    else this.#drag.box = sized(start, dx, dy);
    this.#draw();
  }

  #up() {
    const { how, box } = this.#drag ?? {};
    this.#end();
    if (!box || box[2] - box[0] < SMALLEST_PX || box[3] - box[1] < SMALLEST_PX) return;
    if (how === "add") this.onAdd(box);
    else this.onMove(box);
  }

  #end() {
    this.#drag = null;
    this.#draw();
  }
}

/** The box elsewhere, with its centre in the picture. */
export function moved([x0, y0, x1, y1], dx, dy, { width, height }) {
  const x = clamp(dx, -(x0 + x1) / 2, width - (x0 + x1) / 2);
  const y = clamp(dy, -(y0 + y1) / 2, height - (y0 + y1) / 2);
  return [x0 + x, y0 + y, x1 + x, y1 + y];
}

/** The box with its lower right corner elsewhere. */
export function sized([x0, y0, x1, y1], dx, dy) {
  return [x0, y0, Math.max(x0 + SMALLEST_PX, x1 + dx), Math.max(y0 + SMALLEST_PX, y1 + dy)];
}

function sorted([x0, y0, x1, y1]) {
  return [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
}
