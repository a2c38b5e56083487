// The page: picks a stream, shows its source, its redacted feed and its fancams, as they come and go.

import { Camera, whyNot } from "./camera.js";
import { listen } from "./events.js";
import { request, setToken } from "./http.js";
import { Ledger } from "./ledger.js";
import { Player } from "./player.js";
import { Policy } from "./policy.js";
import { Zones } from "./zones.js";

const MOST_FANCAMS = 6;
const at = (id) => document.getElementById(id);
const ledger = new Ledger(
  { chart: at("chart"), bar: at("bar"), legend: at("legend"), total: at("total"), misses: at("misses") },
  () => chosen,
);
const policy = new Policy(at("shown"), at("policy"), at("who"), (wanted) => change(wanted));

let streams = [];
/** Whom the model knows by name, as far as one may know. */
let members = [];
/** What the models find besides faces. */
let besides = [];
let chosen = null;
let large = [];
let zoned = false;
let drawing = null;
const fancams = new Map();
let camera = null;
/** The last camera whose stream was switched to, as soon as the server listed it. */
let shown = null;
/** One's own stream after "Stop camera": left at once, though the server lists it until its viewers have gone. */
let stopped = null;

function choose(name) {
  if (name === chosen) return;
  chosen = name;
  stopDrawing();
  policy.close();
  for (const player of [...large, ...fancams.values()]) player.close();
  fancams.clear();
  large = [];
  ledger.clear();
  if (name === null) return;
  large = [
    source(name),
    new Player(name, "redacted", "Redacted", { onMessage: (message) => message.l && ledger.add(message.l) }),
  ];
  at("large").append(...large.map((player) => player.element));
}

/** A stream with zones has no raw feed; the overlay has the boxes in its picture. */
function source(name) {
  return zoned ? new Player(name, "overlay", "Source with zones") : new Player(name, "raw", "Source", { boxes: true });
}

function showStreams() {
  const select = at("streams");
  if (!streams.some((stream) => stream.name === stopped)) stopped = null;
  const names = streams.map((stream) => stream.name).filter((name) => name !== stopped);
  if (camera && camera !== shown && names.includes(camera.stream)) choose((shown = camera).stream);
  if (!names.includes(chosen)) choose(camera && names.includes(camera.stream) ? camera.stream : (names[0] ?? null));
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
  select.disabled = names.length < 2;
  at("pick").hidden = !names.length;
  at("empty").hidden = Boolean(names.length);
  const stream = streams.find((one) => one.name === chosen);
  showZones(stream);
  policy.show(stream, members, besides);
  showState(stream?.panic ? "covered" : (stream?.state ?? "nobody publishes"));
  showRung(stream);
  at("panic").disabled = !stream;
  const panic = Boolean(stream?.panic);
  at("panic").classList.toggle("on", panic);
  at("panic").textContent = panic ? "Uncover" : "Cover everything";
  at("panic").setAttribute("aria-pressed", String(panic));
  showFancams(stream?.tracks ?? []);
  showNames(stream);
}

/** Who is who, for those who may know: on the boxes, the fancams, and who of the members is not seen. */
function showNames(stream) {
  const named = (stream?.tracks ?? []).filter((track) => track.member);
  if (large[0]) large[0].names = new Map(named.map(({ id, member, state }) => [id, state === "unsure" ? `${member}?` : member]));
  for (const { id, member, state } of stream?.tracks ?? [])
    fancams.get(id)?.rename(member ? member + (state === "confirmed" ? "" : ` (${state})`) : `Person ${id}`);
  const lost = Object.entries(stream?.members ?? {}).flatMap(([name, state]) => (state === "lost" ? [name] : []));
  at("lost").hidden = !lost.length;
  at("lost").textContent = `Not seen: ${lost.join(", ")}.`;
}

/** Under load the server saves on streams, and says what. */
function showRung(stream) {
  const saved = Boolean(stream) && stream.rung !== "full";
  at("rung").hidden = !saved;
  if (!saved) return;
  const fps = stream.feeds.find((feed) => feed.name === "redacted")?.fps;
  at("rung").textContent = fps ? `busy: redacted at ${fps} fps` : "busy";
  at("rung").title = `Under load: ${stream.rung}`;
}

/** With its first zone a stream loses its raw feed, and gets it back with the last. */
function showZones(stream) {
  at("zones").disabled = !stream;
  if (drawing && stream) drawing.zones = stream.zones;
  const has = Boolean(stream?.zones.length);
  if (!stream || has === zoned) return;
  zoned = has;
  large[0].close();
  large[0] = source(stream.name);
  large[1].element.before(large[0].element);
}

function startDrawing() {
  const screen = large[1]?.element.querySelector(".screen");
  if (!screen) return;
  const zones = streams.find((one) => one.name === chosen)?.zones ?? [];
  drawing = new Zones(screen, zones, (changed) => change({ zones: changed }));
  at("drawing").hidden = false;
  at("zones").setAttribute("aria-pressed", "true");
  at("zones").textContent = "Done";
}

function stopDrawing() {
  drawing?.close();
  drawing = null;
  at("drawing").hidden = true;
  at("zones").setAttribute("aria-pressed", "false");
  at("zones").textContent = "Privacy zones";
}

/** Those who have been there longest keep their place; newcomers fill what is free. */
function showFancams(tracks) {
  const present = new Set(tracks.map((track) => track.id));
  for (const [id, player] of fancams) if (!present.has(id)) drop(id, player);
  for (const { id } of [...tracks].sort((a, b) => b.seconds - a.seconds)) {
    if (fancams.size >= MOST_FANCAMS) break;
    if (fancams.has(id)) continue;
    const player = new Player(chosen, `fancam/${id}`, `Person ${id}`, { onGone: () => drop(id, player) });
    fancams.set(id, player);
    at("fancams").append(player.element);
  }
  at("nobody").hidden = fancams.size > 0;
}

function drop(id, player) {
  player.close();
  fancams.delete(id);
}

function showState(text) {
  at("state").textContent = text;
  at("state").className = `chip ${text}`;
}

function notice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

/** Asks until the form is sent; from the second time on it says that the last token was none. */
function askForToken() {
  at("login").hidden = false;
  at("token").select();
  return new Promise((resolve) => {
    at("login").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        setToken(at("token").value);
        at("login").hidden = true;
        at("refused").hidden = false;
        resolve();
      },
      { once: true },
    );
  });
}

async function toggleCamera() {
  if (camera) return stopCamera("");
  at("camera").disabled = true;
  try {
    const taken = streams.some((stream) => stream.name === "camera");
    const name = taken ? `camera-${crypto.getRandomValues(new Uint16Array(1))[0].toString(16)}` : "camera";
    camera = await Camera.start(name, notice, stopCamera);
    at("camera").textContent = "Stop camera";
    notice("");
  } catch (error) {
    notice(error.name === "NotAllowedError" ? "The browser was not allowed to use the camera." : `Camera: ${error.message}`);
  } finally {
    at("camera").disabled = false;
  }
}

function stopCamera(why) {
  camera.stop();
  stopped = camera.stream;
  camera = null;
  at("camera").textContent = "Use my camera";
  notice(why);
  showStreams();
}

async function togglePanic() {
  const on = at("panic").getAttribute("aria-pressed") !== "true";
  if (!on && !window.confirm("Show the feeds again?")) return;
  await change({ panic: on });
}

/** Changes the chosen stream's redaction. */
async function change(redaction) {
  const response = await request(`/streams/${chosen}/redaction`, {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(redaction),
  });
  if (!response.ok) notice(`Not done: ${(await response.json().catch(() => ({}))).detail ?? response.status}`);
}

at("whip").textContent = `${location.origin}/whip/NAME`;
const reason = whyNot();
at("camera").disabled = reason !== null;
at("camera").title = reason ?? "";
if (reason) notice(`Use my camera: ${reason}`);
at("camera").addEventListener("click", toggleCamera);
at("panic").addEventListener("click", togglePanic);
at("zones").addEventListener("click", () => (drawing ? stopDrawing() : startDrawing()));
at("clear").addEventListener("click", () => change({ zones: [] }));
at("streams").addEventListener("change", () => {
  choose(at("streams").value);
  showStreams();
});

listen(
  (told) => {
    [streams, members, besides] = [told.streams, told.members ?? [], told.besides ?? []];
    showStreams();
  },
  async (state) => {
    if (state === "denied") await askForToken();
    if (state === "lost") showState("server away");
  },
);
