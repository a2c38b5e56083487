// Publishes the camera, watches a feed, and notes when the video showed which marker.

globalThis.loss = (() => {
  const ends = [];
  const shown = [];

  async function publish(path) {
    const { open } = await import("/static/session.js");
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 } });
    const [track] = media.getVideoTracks();
    track.contentHint = "motion";
    const peer = new RTCPeerConnection();
    peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
    ends.push(() => track.stop(), await open(peer, path));
  }

  async function watch(path) {
    const { open } = await import("/static/session.js");
    const peer = new RTCPeerConnection();
    peer.addTransceiver("video", { direction: "recvonly" });
    const video = document.createElement("video");
    Object.assign(video, { autoplay: true, muted: true });
    document.body.append(video);
    peer.addEventListener("track", (event) => {
      video.srcObject = new MediaStream([event.track]);
    });
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
