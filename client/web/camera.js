// One's own webcam, published over WHIP.

import { BackOff, pause } from "./http.js";
import { open } from "./session.js";

const WANTED = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

/** Why there can be no camera here, or null. */
export function whyNot() {
  if (!window.isSecureContext) return "Browsers give a page the camera only over HTTPS or on this very machine.";
  return navigator.mediaDevices?.getUserMedia ? null : "This browser gives no access to a camera.";
}

export class Camera {
  #stopped = false;
  #end = null;

  /** Asks for the camera and publishes it as `stream` until `stop`; comes back by itself when the connection breaks. `say` is
   * called with what it waits for, and with "" once it is connected; `onEnd` with why it is over for good. */
  static async start(stream, say, onEnd) {
    const media = await navigator.mediaDevices.getUserMedia({ video: WANTED, audio: false });
    return new Camera(stream, media, say, onEnd);
  }

  constructor(stream, media, say, onEnd) {
    Object.assign(this, { stream, media, say, onEnd });
    media.getVideoTracks()[0].addEventListener("ended", () => this.#fail("it was unplugged or taken away"));
    this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#end?.();
    for (const track of this.media.getTracks()) track.stop();
  }

  #fail(why) {
    if (this.#stopped) return;
    this.stop();
    this.onEnd(`Camera: ${why}`);
  }

  async #run() {
    const backOff = new BackOff();
    while (!this.#stopped) {
      try {
        await this.#publish(backOff);
      } catch (error) {
        if ([401, 403, 422].includes(error.status)) return this.#fail(error.message);
        if (!this.#stopped) this.say(`Camera: ${error.message}; trying again`);
      }
      if (!this.#stopped) await backOff.wait();
    }
  }

  async #publish(backOff) {
    const peer = new RTCPeerConnection();
    peer.addEventListener("connectionstatechange", () => peer.connectionState === "connected" && this.say(""));
    const [track] = this.media.getVideoTracks();
    track.contentHint = "motion";
    peer.addTransceiver(track, { direction: "sendonly", streams: [this.media] });
    try {
      this.#end = await open(peer, `/whip/${this.stream}`);
      while (!this.#stopped) {
        await pause(250);
        if (["failed", "closed", "disconnected"].includes(peer.connectionState)) throw new Error("the connection is lost");
        if (peer.connectionState === "connected") backOff.reset();
      }
    } finally {
      this.#end ? this.#end() : peer.close();
      this.#end = null;
    }
  }
}
