// The lists beside the picture: places to look at, and what was decided.

import { clock, shape } from "./draw.js";

/** Fills the list of places; `onGo(index)` when one is chosen. Returns a function that marks the present one and those seen. */
export function listPlaces(list, { places, times, width, height }, onGo) {
  const buttons = places.map(({ frame, why, box: [x0, y0, x1, y1] }, index) => {
    const map = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    map.append(shape("rect", { x: x0, y: y0, width: Math.max(x1 - x0, width / 24), height: Math.max(y1 - y0, height / 24) }));
    const button = document.createElement("button");
    const [time, reason] = [document.createElement("b"), document.createElement("span")];
    [button.type, time.textContent, reason.textContent] = ["button", clock(times[frame]), why];
    button.append(map, time, reason);
    button.addEventListener("click", () => onGo(index));
    return button;
  });
  list.replaceChildren(...buttons.map(item));
  if (!buttons.length) list.replaceChildren(item("Nothing in this video is doubtful. What was never found is not listed."));
  return (at, seen) => {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-current", index === at);
      button.classList.toggle("seen", seen.has(index));
    });
    buttons[at]?.scrollIntoView({ block: "nearest" });
  };
}

/** What was decided, with a way to each and, for added covers and removals, a way back. */
export function listDecisions(list, decisions, times, onGo, onDrop) {
  const lines = decisions.map((one, number) => {
    const go = document.createElement("span");
    go.textContent = `${words(one)}, ${clock(times[one.first])} – ${clock(times[one.last])}`;
    const [look, drop] = [small("Look", () => onGo(number)), small("Take back", () => onDrop(number))];
    const line = item(go);
    line.append(look, drop);
    return line;
  });
  list.replaceChildren(...(lines.length ? lines : [item("None yet.")]));
}

function words({ kind, cover }) {
  if (kind === "add") return "A cover added";
  return kind === "stretch" ? `${title(cover)} prolonged` : `${title(cover)} taken away`;
}

export const title = (life) => (life > 0 ? `Face ${life}` : `Doubtful place ${-life}`);

function item(content) {
  const line = document.createElement("li");
  line.append(content);
  return line;
}

function small(text, onClick) {
  const button = document.createElement("button");
  [button.type, button.textContent] = ["button", text];
  button.addEventListener("click", onClick);
  return button;
}
