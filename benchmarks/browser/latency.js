// Publishes the camera and watches it in the same page; captured and shown are both told by this page's clock.

globalThis.latency = (() => {
  let track = null;
  /** Marker → when the frame with it left the camera last. */
  const left = new Map();

  async function readCamera(source) {
    const reader = new MediaStreamTrackProcessor({ track: source }).readable.getReader();
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done) return;
      const now = performance.now();
      const number = await probe.captured(frame);
      frame.close();
      if (number !== null) left.set(number, now);
    }
  }

  async function publish(path) {
    const { open } = await import("/static/session.js");
    let media;
    [media, track] = await probe.camera();
    readCamera(track.clone());
    const peer = new RTCPeerConnection();
    peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
    await open(peer, path);
    const { width, height, frameRate } = track.getSettings();
    return { width, height, fps: frameRate };
  }

  /** Watches a feed: `lead` seconds to settle, then `seconds` that are measured. Resolves to milliseconds by frame. */
  async function watch(path, lead, seconds) {
    const { open } = await import("/static/session.js");
    const peer = new RTCPeerConnection();
    const video = probe.receive(peer);
    const end = await open(peer, path);
    const from = performance.now() + 1000 * lead;
    const to = from + 1000 * seconds;
    const result = { ms: [], size: null, unread: 0 };
    await new Promise((resolve) => {
      setTimeout(resolve, 1000 * (lead + seconds) + 500);
      const onFrame = () => {
        const now = performance.now();
        if (now < to) video.requestVideoFrameCallback(onFrame);
        if (now < from || now >= to) return;
        const number = probe.shown(video);
        const ms = number === null ? NaN : now - left.get(number);
        // The camera's file repeats: a time from a round before is no measurement.
        if (ms >= 0 && ms < 2000) result.ms.push(ms);
        else result.unread += 1;
      };
      video.requestVideoFrameCallback(onFrame);
    });
    result.size = [video.videoWidth, video.videoHeight];
    end();
    video.remove();
    return result;
  }

  return { publish, watch };
})();
