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

  /** Asks for the camera and publishes it as `stream` until `stop`; comes back by itself when the connection breaks. */
  static async start(stream, say) {
    const media = await navigator.mediaDevices.getUserMedia({ video: WANTED, audio: false });
    const camera = new Camera(stream, media, say);
    camera.over = camera.#run();
    await camera.#first;
    return camera;
  }

  #first = new Promise((resolve, reject) => {
    this.began = resolve;
    this.failed = reject;
  });

  constructor(stream, media, say) {
    Object.assign(this, { stream, media, say });
    // A camera that is unplugged or taken away ends the stream.
    media.getVideoTracks()[0].addEventListener("ended", () => this.stop());
  }

  stop() {
    this.#stopped = true;
    this.#end?.();
    for (const track of this.media.getTracks()) track.stop();
  }

  async #run() {
    const backOff = new BackOff();
    while (!this.#stopped) {
      try {
        await this.#publish(backOff);
      } catch (error) {
        if ([401, 403, 422].includes(error.status)) {
          this.stop();
          this.failed(error);
          return;
        }
        this.say(`Camera: ${error.message}`);
      }
      if (!this.#stopped) await backOff.wait();
    }
  }

  async #publish(backOff) {
    const peer = new RTCPeerConnection();
    const [track] = this.media.getVideoTracks();
    track.contentHint = "motion";
    peer.addTransceiver(track, { direction: "sendonly", streams: [this.media] });
    try {
      this.#end = await open(peer, `/whip/${this.stream}`);
      this.began();
      while (!this.#stopped && !["failed", "closed", "disconnected"].includes(peer.connectionState)) {
        await pause(250);
        if (peer.connectionState === "connected") backOff.reset();
      }
    } finally {
      this.#end ? this.#end() : peer.close();
      this.#end = null;
    }
  }
}
