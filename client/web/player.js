// One feed on the page: watches it over WHEP, comes back by itself, draws boxes on the frame they belong to.

import { BackOff, pause } from "./http.js";
import { open } from "./session.js";

const SILENT_MS = 4000;
const KEPT_MESSAGES = 90;
/** The relayed source is here before its boxes are: it is shown this much later. */
const BOXES_WAIT_MS = 80;
const STALE_MS = 150;
const WRAP = 2 ** 32;

export class Player {
  #closed = false;
  #end = null;
  #peer = null;
  #messages = new Map();
  #origin = null;
  #shown = null;
  #lastFrameMs = 0;
  #drawnMs = 0;
  #times = [];

  /** `onGone` is called when the server says that the feed is no more; `onMessage` with each frame's metadata. */
  constructor(stream, feed, title, { boxes = false, onMessage = () => {}, onGone = () => {} } = {}) {
    this.stream = stream;
    this.feed = feed;
    this.boxes = boxes;
    /** What people are called, by their tracks' ids. */
    this.names = new Map();
    this.onMessage = onMessage;
    this.onGone = onGone;
    this.element = this.#build(title);
    this.video.requestVideoFrameCallback((now, frame) => this.#frame(now, frame));
    this.#run();
  }

  close() {
    this.#closed = true;
    this.#end?.();
    this.element.remove();
  }

  #build(title) {
    const figure = document.createElement("figure");
    figure.dataset.feed = this.feed;
    const screen = document.createElement("div");
    screen.className = "screen";
    this.video = document.createElement("video");
    Object.assign(this.video, { autoplay: true, muted: true, playsInline: true });
    this.video.setAttribute("aria-label", title);
    this.canvas = document.createElement("canvas");
    this.wait = document.createElement("div");
    this.wait.className = "wait";
    this.wait.textContent = "connecting";
    screen.append(this.video, this.canvas, this.wait);
    const caption = document.createElement("figcaption");
    this.title = document.createElement("b");
    this.title.textContent = title;
    this.facts = document.createElement("span");
    caption.append(this.title, this.facts);
    figure.append(screen, caption);
    this.video.addEventListener("resize", () => {
      const { videoWidth: w, videoHeight: h } = this.video;
      if (w && h) screen.style.setProperty("--shape", `${w} / ${h}`);
    });
    return figure;
  }

  async #run() {
    const backOff = new BackOff();
    while (!this.#closed) {
      try {
        await this.#watch(backOff);
      } catch (error) {
        if (error.status === 404) return this.#closed || this.onGone(this);
        this.#say(error.status === 401 || error.status === 403 ? error.message : `waiting: ${error.message}`);
      }
      if (!this.#closed) await backOff.wait();
    }
  }

  /** Resolves when the connection is over. */
  async #watch(backOff) {
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    this.#messages.clear();
    this.#origin = null;
    const media = new MediaStream();
    const { receiver } = peer.addTransceiver("video", { direction: "recvonly" });
    if (this.boxes && "jitterBufferTarget" in receiver) receiver.jitterBufferTarget = BOXES_WAIT_MS;
    if (this.feed !== "redacted") peer.addTransceiver("audio", { direction: "recvonly" });
    peer.addEventListener("track", ({ track }) => {
      media.addTrack(track);
      this.video.srcObject = media;
    });
    const channel = peer.createDataChannel("fancam", { ordered: false, maxRetransmits: 0 });
    channel.addEventListener("message", ({ data }) => this.#message(JSON.parse(data)));
    try {
      this.#end = await open(peer, `/whep/${this.stream}/${this.feed}`);
      if (this.#closed) return;
      this.#lastFrameMs = performance.now();
      while (!this.#closed && !["failed", "closed"].includes(peer.connectionState)) {
        await pause(500);
        const silentMs = performance.now() - this.#lastFrameMs;
        if (silentMs > SILENT_MS) throw new Error("no picture arrives");
        if (silentMs < 1000) backOff.reset();
        this.#facts();
      }
    } finally {
      this.#end ? this.#end() : peer.close();
      this.#end = null;
    }
  }

  rename(title) {
    this.title.textContent = title;
    this.video.setAttribute("aria-label", title);
  }

  #message(message) {
    if (message.type === "origin") {
      this.#origin = message.rtp;
      return;
    }
    const key = message.t % WRAP;
    this.#messages.set(key, message);
    if (this.#messages.size > KEPT_MESSAGES) this.#messages.delete(this.#messages.keys().next().value);
    this.onMessage(message);
    if (this.#shown === key) this.#draw(message);
  }

  #frame(now, frame) {
    if (!this.#closed) this.video.requestVideoFrameCallback((later, next) => this.#frame(later, next));
    this.#lastFrameMs = now;
    this.wait.textContent = "";
    this.#times.push(now);
    if (this.#times.length > 61) this.#times.shift();
    if (this.#origin === null || frame.rtpTimestamp === undefined) return;
    this.#shown = (frame.rtpTimestamp - this.#origin) >>> 0;
    this.#draw(this.#messages.get(this.#shown));
  }

  #draw(message) {
    if (!this.boxes) return;
    const { canvas } = this;
    const context = canvas.getContext("2d");
    const now = performance.now();
    if (!message) {
      // Its boxes are still on their way: the last ones stay a moment rather than flicker.
      if (now - this.#drawnMs > STALE_MS) context.clearRect(0, 0, canvas.width, canvas.height);
      return;
    }
    this.#drawnMs = now;
    if (canvas.width !== message.w) Object.assign(canvas, { width: message.w, height: message.h });
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineWidth = Math.max(2, message.w / 320);
    context.font = `600 ${Math.max(12, message.w / 45)}px system-ui, sans-serif`;
    for (const [id, x0, y0, x1, y1, , measured] of message.b) {
      context.strokeStyle = context.fillStyle = colour(id);
      context.setLineDash(measured ? [] : [6, 5]);
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
      context.fillText(String(this.names.get(id) ?? id), x0, Math.max(14, y0 - 5));
    }
  }

  #facts() {
    const span = this.#times.at(-1) - this.#times[0];
    const fps = this.#times.length > 5 ? Math.round((1000 * (this.#times.length - 1)) / span) : 0;
    const { videoWidth: w, videoHeight: h } = this.video;
    this.facts.textContent = w ? `${w}×${h} · ${fps} fps` : "";
  }

  #say(text) {
    this.wait.textContent = text;
    this.facts.textContent = "";
  }
}

const colour = (id) => `hsl(${(id * 137.5) % 360} 85% 68%)`;
