// Privacy zones, drawn on the redacted feed: click the corners, and the first one again (or Enter) to close the polygon. By keys:
// arrows move a cross, Space sets a corner.

const CLOSE_PX = 12;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** How far an arrow moves the cross, as a share of the picture. */
const STEP = 0.02;

export class Zones {
  #corners = [];
  #zones = [];
  #pointer = null;

  /** `screen` is what the zones are drawn on; `onChange` gets all of them, [[[x, y], …], …] from 0 to 1, when one is complete. */
  constructor(screen, zones, onChange) {
    this.#zones = zones;
    this.onChange = onChange;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "zones";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("aria-label", "Click the corners of a zone, or move with the arrows and press Space; Enter closes it, Escape begins anew");
    this.canvas.addEventListener("click", (event) => this.#add(this.#at(event)));
    this.canvas.addEventListener("pointermove", (event) => {
      this.#pointer = this.#at(event);
      this.#draw();
    });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    screen.append(this.canvas);
    this.#draw();
    this.canvas.focus();
  }

  /** What the server says there is. */
  set zones(zones) {
    this.#zones = zones;
    this.#draw();
  }

  close() {
    this.canvas.remove();
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  }

  #add(corner) {
    if (this.#corners.length >= 3 && this.#near(corner, this.#corners[0])) return this.#finish();
    this.#corners.push(corner);
    this.#draw();
  }

  #key(event) {
    const at = this.#pointer ?? [0.5, 0.5];
    if (event.key === "Escape") this.#corners = [];
    else if (event.key === "Enter") return this.#finish();
    else if (event.key === " ") this.#add(at);
    else if (event.key in ARROWS) this.#pointer = at.map((value, axis) => within(value + STEP * ARROWS[event.key][axis]));
    else return;
    event.preventDefault(); // the page does not scroll
    this.#draw();
  }

  #near([x0, y0], [x1, y1]) {
    const { width, height } = this.canvas.getBoundingClientRect();
    return Math.hypot((x0 - x1) * width, (y0 - y1) * height) < CLOSE_PX;
  }

  #finish() {
    if (this.#corners.length < 3) return;
    this.#zones = [...this.#zones, this.#corners];
    this.#corners = [];
    this.#draw();
    this.onChange(this.#zones);
  }

  #draw() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    Object.assign(this.canvas, { width: w, height: h });
    const context = this.canvas.getContext("2d");
    context.lineWidth = 2;
    context.strokeStyle = "#ffc46b";
    const path = (corners) => {
      context.beginPath();
      for (const [x, y] of corners) context.lineTo(x * w, y * h);
    };
    for (const zone of this.#zones) {
      path(zone);
      context.closePath();
      context.stroke();
    }
    if (this.#pointer) cross(context, this.#pointer[0] * w, this.#pointer[1] * h);
    if (!this.#corners.length) return;
    context.setLineDash([5, 4]);
    path(this.#pointer ? [...this.#corners, this.#pointer] : this.#corners);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = "#ffc46b";
    for (const [x, y] of this.#corners) context.fillRect(x * w - 3, y * h - 3, 6, 6);
  }
}

const within = (share) => Math.min(1, Math.max(0, share));

function cross(context, x, y) {
  context.beginPath();
  for (const [dx, dy] of Object.values(ARROWS)) {
    context.moveTo(x, y);
    context.lineTo(x + 8 * dx, y + 8 * dy);
  }
  context.stroke();
}
