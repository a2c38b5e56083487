// Publishes the camera, watches a feed, and notes when the video showed which marker.

globalThis.loss = (() => {
  const ends = [];
  const shown = [];

  async function publish(path) {
    const { open } = await import("/static/session.js");
    const [media, track] = await probe.camera();
    const peer = new RTCPeerConnection();
    peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
    ends.push(() => track.stop(), await open(peer, path));
  }

  async function watch(path) {
    const { open } = await import("/static/session.js");
    const peer = new RTCPeerConnection();
    const video = probe.receive(peer);
    const onFrame = () => {
      shown.push([performance.now(), probe.shown(video)]);
      video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    ends.push(await open(peer, path), () => video.remove());
  }

  /** What has been shown since this was asked last: milliseconds of this page's clock, and markers (null: not read). */
  const take = () => ({ now: performance.now(), shown: shown.splice(0) });

  function close() {
    for (const end of ends.splice(0)) end();
  }

  return { publish, watch, take, close };
})();
