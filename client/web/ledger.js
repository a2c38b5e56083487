// The ledger of the last frames as a stacked bar: median milliseconds by stage.

const STAGES = ["arrived", "delayed", "decoded", "batched", "detected", "tracked", "waited", "rendered", "encoded", "sent"];
const COLOURS = ["#5b6b86", "#39445a", "#6fb1ff", "#4d5a72", "#7ee0c3", "#3aa98a", "#8a96ab", "#ffc46b", "#ff9d6b", "#b79bff"];
const MEANING = {
  arrived: "captured → arrived",
  delayed: "safety delay",
  decoded: "decode",
  batched: "wait for the detector",
  detected: "detect",
  tracked: "track",
  waited: "look ahead",
  rendered: "cover",
  encoded: "encode",
  sent: "send",
};
const ONLY_WHERE_ASKED_FOR = new Set(["delayed", "waited"]);
const KEPT = 60;

export class Ledger {
  #frames = [];
  #parts = new Map();

  constructor(bar, legend, total) {
    Object.assign(this, { bar, legend, total });
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
      this.#parts.set(stage, { part, row, value });
    });
    setInterval(() => this.#show(), 500);
  }

  add(stages) {
    this.#frames.push(stages);
    if (this.#frames.length > KEPT) this.#frames.shift();
  }

  clear() {
    this.#frames = [];
  }

  #show() {
    const frames = this.#frames;
    for (const [stage, { part, row, value }] of this.#parts) {
      const ms = quantile(frames.map((frame) => frame[stage] ?? 0), 0.5);
      part.style.flexGrow = String(ms);
      part.style.display = row.style.display = ms === 0 && ONLY_WHERE_ASKED_FOR.has(stage) ? "none" : "";
      value.textContent = frames.length ? `${ms.toFixed(1)} ms` : "–";
    }
    const totals = frames.map((frame) => Object.entries(frame).reduce((sum, [name, ms]) => (name === "arrived" ? sum : sum + ms), 0));
    this.total.textContent = frames.length
      ? `from arrival until sent: half within ${quantile(totals, 0.5).toFixed(1)} ms, 95 % within ${quantile(totals, 0.95).toFixed(1)} ms`
      : "";
  }
}

function quantile(values, share) {
  if (!values.length) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
