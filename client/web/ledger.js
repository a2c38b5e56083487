// The ledger of the last frames: a column a frame, stacked by stage; medians by stage; misses and drops of the last seconds.

import { request } from "./http.js";

const STAGES = ["arrived", "decoded", "batched", "detected", "tracked", "waited", "rendered", "encoded", "sent"];
const COLOURS = ["#5b6b86", "#6fb1ff", "#e07ea8", "#7ee0c3", "#3aa98a", "#a8865b", "#ffc46b", "#ff9d6b", "#b79bff"];
const MEANING = {
  arrived: "captured → arrived",
  decoded: "decode",
  batched: "wait for the detector",
  detected: "detect",
  tracked: "track",
  waited: "look ahead",
  rendered: "cover",
  encoded: "encode",
  sent: "send",
};
/** Not part of the total: the way here, and waiting that was asked for. */
const NO_WORK = ["arrived", "waited"];
/** As many as columns fit on the widest page. */
const KEPT = 350;
const SHOWN_BY_MEDIAN = 60;
const ASK_EVERY_MS = 2000;
const COLUMN_PX = 4;
const HEIGHT_IN_BUDGETS = 1.5;

export class Ledger {
  #frames = [];
  #parts = new Map();
  #budget = 100;

  /** `stream()` is the name of the one that is looked at, or null. */
  constructor({ chart, bar, legend, total, misses }, stream) {
    Object.assign(this, { chart, bar, legend, total, misses, stream });
    STAGES.forEach((stage, at) => {
      const part = document.createElement("i");
      part.style.background = COLOURS[at];
      part.title = MEANING[stage];
      bar.append(part);
      const row = document.createElement("div");
      const mark = document.createElement("i");
      mark.style.background = COLOURS[at];
      const name = document.createElement("dt");
      name.textContent = MEANING[stage];
      const value = document.createElement("dd");
      row.append(mark, name, value);
      legend.append(row);
      this.#parts.set(stage, { part, value });
    });
    setInterval(() => this.#show(), 500);
    setInterval(() => this.#ask(), ASK_EVERY_MS);
  }

  add(stages) {
    this.#frames.push(stages);
    if (this.#frames.length > KEPT) this.#frames.shift();
  }

  clear() {
    this.#frames = [];
    this.total.textContent = this.misses.textContent = "";
  }

  #show() {
    const frames = this.#frames.slice(-SHOWN_BY_MEDIAN);
    for (const [stage, { part, value }] of this.#parts) {
      const ms = median(frames.map((frame) => frame[stage] ?? 0));
      part.style.flexGrow = String(ms);
      value.textContent = frames.length ? `${ms.toFixed(1)} ms` : "–";
    }
    this.#draw();
  }

  /** The server counts what no viewer sees: frames that were dropped. */
  async #ask() {
    const name = this.stream();
    if (name === null || document.hidden) return;
    const response = await request(`/streams/${name}/latency`).catch(() => null);
    if (!response?.ok || name !== this.stream()) return;
    const told = await response.json();
    this.#budget = told.budget_ms;
    const [p50, p95, p99] = ["p50_ms", "p95_ms", "p99_ms"].map((key) => told[key].total?.toFixed(1));
    this.total.textContent = told.frames
      ? `from arrival until sent: p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms; budget ${told.budget_ms} ms`
      : "";
    const drops = Object.entries(told.drops).map(([reason, count]) => `${reason.replaceAll("_", " ")} ${count}`);
    this.misses.textContent =
      `last ${told.seconds} s: ${told.fps} frames a second, ${told.missed} missed, ` +
      (drops.length ? `dropped: ${drops.join(", ")}` : "none dropped");
  }

  #draw() {
    const { chart } = this;
    const [width, height] = [chart.clientWidth, chart.clientHeight];
    if (chart.width !== width || chart.height !== height) Object.assign(chart, { width, height });
    const to = chart.getContext("2d");
    to.clearRect(0, 0, width, height);
    // By the budget alone: one frame of a second must not make a line of all others. A higher column ends at the top.
    const highest = HEIGHT_IN_BUDGETS * this.#budget;
    const columns = this.#frames.slice(-Math.floor(width / COLUMN_PX));
    columns.forEach((frame, number) => {
      let y = height;
      STAGES.forEach((stage, at) => {
        if (NO_WORK.includes(stage)) return;
        const part = ((frame[stage] ?? 0) / highest) * height;
        to.fillStyle = COLOURS[at];
        to.fillRect(number * COLUMN_PX, y - part, COLUMN_PX - 1, part);
        y -= part;
      });
    });
    const line = height - (this.#budget / highest) * height;
    to.fillStyle = "#ff7a7a";
    to.fillRect(0, Math.round(line), width, 1);
    to.font = "11px system-ui, sans-serif";
    to.textAlign = "right";
    to.fillText(`budget ${this.#budget} ms`, width - 6, line - 5);
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
