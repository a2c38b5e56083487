// The review page: what is shown, what is selected, and the orders that a person gives.

import { clamp, clock } from "./draw.js";
import { get, post } from "./http.js";
import { listDecisions, listPlaces, title } from "./panel.js";
import { Picture, moved, sized } from "./picture.js";
import { Timeline } from "./timeline.js";

const ADDED_S = 2;
const POLL_MS = 400;
const MOVE_SHARE = 0.01;
const SHORT_S = 0.3; // doubtful places of less have no bar of their own

const find = (id) => document.getElementById(id);
const about = await get("/about");
const { times, fps, lives, places } = about;
const lastFrame = times.length - 1;
const lifeOf = new Map(lives.map(([ident, first, last, score]) => [ident, { ident, first, last, score }]));

let state = await get("/state");
let [now, wanted, at, written, playing, from] = [-1, 0, -1, false, 0, null];
let [picked, shown] = [null, []];
const seen = new Set();

find("name").textContent = about.name;
document.title = `Review of ${about.name}`;

const picture = new Picture(find("screen"), {
  ...about,
  onPick: pick,
  onAdd: add,
  onMove: (box) => order({ do: "key", number: numberOf(picked), frame: now, box }),
});
const timeline = new Timeline(find("timeline"), { times, onSeek: show, onPick: pick, onSpan: setSpan });
const markPlaces = listPlaces(find("places"), about, goPlace);

// Frames

/** Shows a frame; of several asked for at once, the last. */
async function show(frame, again = false) {
  wanted = clamp(frame, 0, lastFrame);
  if (wanted === now && !again) return;
  const asked = wanted;
  const image = new Image();
  image.alt = "";
  image.src = `/frames/${asked}/${written ? "covered" : "source"}.jpg?of=${state.version}`;
  try {
    const [covers] = await Promise.all([get(`/frames/${asked}`), image.decode()]);
    if (asked !== wanted) return;
    now = asked;
    shown = named(covers);
    draw(image);
  } catch (error) {
    if (asked === wanted) complain(`Frame ${asked} cannot be shown: ${error.message}`);
  }
}

function named({ covers, added }) {
  const known = covers.map(({ life, box, removed }) => ({
    name: `life:${life}`,
    kind: removed ? "removed" : life < 0 ? "doubtful" : "face",
    box,
  }));
  return known.concat(
    added.map(({ number, box }) => {
      const { kind, cover } = state.decisions[number];
      return kind === "stretch" ? { name: `life:${cover}`, kind: "added still", box } : { name: `add:${number}`, kind: "added", box };
    }),
  );
}

function draw(image) {
  picture.show(image, shown, picked);
  timeline.show({ now, picked, bars: bars(), places: places.map(({ frame }, index) => ({ frame, seen: seen.has(index) })) });
  find("time").textContent = `${clock(times[now])} · frame ${now} of ${lastFrame}`;
  find("undo").disabled = !state.can_undo;
  find("looked").textContent = places.length ? `${seen.size} of ${places.length} looked at` : "none";
  find("count").textContent = state.decisions.length;
  listDecisions(find("decisions"), state.decisions, times, (number) => show(state.decisions[number].first), (number) => order({ do: "drop", number }));
  markPlaces(at, seen);
  drawSelected();
}

function bars() {
  const decided = new Set(state.decisions.map(({ cover }) => cover));
  const worth = ([ident, first, last]) =>
    ident > 0 || last - first > SHORT_S * fps || decided.has(ident) || picked === `life:${ident}`;
  const all = lives.filter(worth).map(([ident]) => barOf(lifeOf.get(ident)));
  state.decisions.forEach(({ kind, first, last }, number) => {
    if (kind === "add") all.push({ name: `add:${number}`, kind: "added", first, last, cuts: [] });
  });
  return all.sort((a, b) => a.first - b.first);
}

/** A life's bar, from where it begins to where it ends by the decisions. */
function barOf({ ident, first, last }) {
  const bar = { name: `life:${ident}`, kind: ident < 0 ? "doubtful" : "face", first, last, cuts: [] };
  for (const one of state.decisions) {
    if (one.cover !== ident) continue;
    const whole = one.first === first && one.last === last;
    if (one.kind === "stretch") {
      bar.first = Math.min(bar.first, one.first);
      bar.last = Math.max(bar.last, one.last);
    } else if (!whole && one.first === first) bar.first = one.last + 1;
    else if (!whole && one.last === last) bar.last = one.first - 1;
    else bar.cuts.push([one.first, one.last]);
  }
  return bar;
}

// What is selected

const numberOf = (name) => Number(name.split(":")[1]);
const isLife = (name) => name?.startsWith("life:");

function pick(name) {
  picked = name;
  from = null;
  draw();
}

function drawSelected() {
  find("orders").hidden = !picked;
  find("from").hidden = !isLife(picked);
  find("from").textContent = from === null ? "Take away from here …" : "… to here";
  find("from").setAttribute("aria-pressed", from !== null);
  if (!picked) {
    find("what").textContent = "No cover selected";
    find("detail").textContent = "Click a cover in the picture or its bar; S goes through those of this frame.";
    return;
  }
  const bar = bars().find(({ name }) => name === picked);
  const span = `${clock(times[bar.first])} – ${clock(times[bar.last])}`;
  if (isLife(picked)) {
    const { ident, score } = lifeOf.get(numberOf(picked));
    find("what").textContent = title(ident);
    find("detail").textContent = `${span}, best score ${score.toFixed(2)}`;
  } else {
    find("what").textContent = "Added cover";
    find("detail").textContent = `${span}. Move it in any frame of these: it goes evenly between such places.`;
  }
}

// Orders

async function order(what) {
  stop();
  try {
    state = await post("/change", { ...what, version: state.version });
    complain("");
  } catch (error) {
    complain(error.message);
    state = await get("/state");
  }
  from = null;
  if (picked && !bars().some(({ name }) => name === picked)) picked = null;
  if (what.do === "drop" && picked?.startsWith("add:")) picked = null;
  await show(now, true);
}

async function add(box) {
  setAdding(false);
  const last = Math.min(lastFrame, now + Math.round(ADDED_S * fps));
  const number = state.decisions.length;
  await order({ do: "add", box, first: now, last });
  if (state.decisions[number]?.kind === "add") pick(`add:${number}`);
}

/** The selected cover, or another, from one frame to another. */
async function setSpan(name, first, last) {
  if (!isLife(name)) return order({ do: "span", number: numberOf(name), first, last });
  const bar = bars().find((one) => one.name === name);
  const shorter = first > bar.first || last < bar.last;
  if (shorter && !(await sure(lifeOf.get(numberOf(name)), "shorten"))) return draw();
  return order({ do: "bounds", cover: numberOf(name), first, last });
}

function beginHere() {
  const bar = bars().find(({ name }) => name === picked);
  if (bar && now <= bar.last) setSpan(picked, now, bar.last);
}

function endHere() {
  const bar = bars().find(({ name }) => name === picked);
  if (bar && now >= bar.first) setSpan(picked, bar.first, now);
}

async function takeAway(first, last) {
  if (!picked) return;
  if (!isLife(picked)) return order({ do: "drop", number: numberOf(picked) });
  const life = lifeOf.get(numberOf(picked));
  if (await sure(life, "take away")) await order({ do: "remove", cover: life.ident, first: first ?? life.first, last: last ?? life.last });
}

function takeAwayFrom() {
  if (from === null) {
    from = now;
    return drawSelected();
  }
  const [first, last] = [Math.min(from, now), Math.max(from, now)];
  return takeAway(first, last);
}

async function sure({ ident, score }, what) {
  if (score < about.sure) return true;
  return ask(`${title(ident)} was found with a score of ${score.toFixed(2)}: most likely a face. Does its cover go all the same?`, `Yes, ${what}`);
}

function ask(question, yes) {
  const dialog = find("ask");
  find("question").textContent = question;
  find("yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

// Writing

async function write() {
  stop();
  const left = places.length - seen.size;
  const looked = left ? `${left} of ${places.length} places were not looked at. ` : "";
  if (!(await ask(`${looked}Write ${about.out}/redacted.mp4 and what belongs to it, with ${state.decisions.length} decisions?`, "Write"))) return;
  find("progress").hidden = false;
  find("write").disabled = true;
  try {
    state = await post("/write");
    while (state.writing) {
      find("bar").value = state.done / times.length;
      find("said").textContent = `Writing: ${state.done} of ${times.length} frames`;
      await new Promise((done) => setTimeout(done, POLL_MS));
      state = await get("/state");
    }
  } catch (error) {
    state.problem = error.message;
  }
  find("bar").hidden = true;
  if (state.written) {
    find("said").textContent = `Written: ${about.out}/redacted.mp4; the decisions are in ${about.out}/review.json. This page can be closed.`;
    document.querySelectorAll("button").forEach((button) => (button.disabled = true));
  } else {
    find("progress").hidden = true;
    find("write").disabled = false;
    complain(`Nothing was written: ${state.problem}`);
  }
}

// Going about

function goPlace(index) {
  if (!places.length) return;
  stop();
  at = clamp(index, 0, places.length - 1);
  seen.add(at);
  const { frame, life } = places[at];
  picked = life === null ? null : `life:${life}`;
  from = null;
  if (frame === now) draw();
  else show(frame);
}

function stop() {
  playing = 0;
  find("play").textContent = "Play";
}

/** In real time: frames that cannot be shown in time are passed over. */
async function play() {
  if (playing) return stop();
  const run = (playing = performance.now());
  find("play").textContent = "Stop";
  const start = now >= lastFrame ? 0 : now;
  while (playing === run && (now < lastFrame || start === 0)) {
    const time_s = times[start] + (performance.now() - run) / 1000;
    let next = Math.max(start, Math.floor(start + (time_s - times[start]) * fps));
    next = Math.min(next, lastFrame);
    await show(next);
    if (next === lastFrame) break;
    await new Promise(requestAnimationFrame);
  }
  if (playing === run) stop();
}

function setAdding(on) {
  stop();
  picture.drawing = on;
  find("add").setAttribute("aria-pressed", on);
}

function setWritten(on) {
  written = on;
  find("screen").classList.toggle("written", on);
  find("outlined").setAttribute("aria-pressed", !on);
  find("covered").setAttribute("aria-pressed", on);
  show(now, true);
}

function pickNext() {
  const names = [...new Set(shown.map(({ name }) => name))];
  if (names.length) pick(names[(names.indexOf(picked) + 1) % names.length]);
}

function nudge(event) {
  const own = picked?.startsWith("add:") && shown.find(({ name }) => name === picked);
  if (!own) return;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const step = Math.max(2, MOVE_SHARE * about.width);
  const box = event.shiftKey ? sized(own.box, dx * step, dy * step) : moved(own.box, dx * step, dy * step, about);
  order({ do: "key", number: numberOf(picked), frame: now, box });
}

function addInTheMiddle() {
  const [x, y, side] = [about.width / 2, about.height / 2, Math.min(about.width, about.height) / 8];
  add([x - side, y - side, x + side, y + side]);
}

function step(frames) {
  stop();
  show(wanted + frames);
}

function complain(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

const CLICKS = {
  "place-back": () => goPlace(at - 1),
  "place-forth": () => goPlace(at + 1),
  back: () => step(-1),
  forth: () => step(1),
  play,
  add: () => setAdding(!picture.adding),
  outlined: () => setWritten(false),
  covered: () => setWritten(true),
  undo: () => order({ do: "undo" }),
  write,
  begin: beginHere,
  end: endHere,
  from: takeAwayFrom,
  away: () => takeAway(),
  closer: () => timeline.zoom(1 / 2),
  wider: () => timeline.zoom(2),
};
for (const [id, act] of Object.entries(CLICKS)) find(id).addEventListener("click", act);

const KEYS = {
  ArrowLeft: (event) => step(event.shiftKey ? -Math.round(fps) : -1),
  ArrowRight: (event) => step(event.shiftKey ? Math.round(fps) : 1),
  n: CLICKS["place-forth"],
  p: CLICKS["place-back"],
  " ": play,
  a: CLICKS.add,
  v: () => setWritten(!written),
  s: pickNext,
  "[": beginHere,
  "]": endHere,
  Delete: CLICKS.away,
  Backspace: CLICKS.away,
  u: CLICKS.undo,
  Escape: () => (picture.adding ? setAdding(false) : pick(null)),
};
document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (find("ask").open || event.metaKey || state.written || state.writing) return;
  const onButton = event.target.closest("button, summary");
  if (onButton && (key === " " || key === "Enter")) return;
  const undo = event.ctrlKey && key === "z";
  if (event.ctrlKey && !undo) return;
  const arrow = event.altKey && key.startsWith("Arrow");
  const act = undo ? CLICKS.undo : arrow ? nudge : key === "Enter" && picture.adding ? addInTheMiddle : KEYS[key];
  if (!act) return;
  event.preventDefault();
  act(event);
});

await show(0);
