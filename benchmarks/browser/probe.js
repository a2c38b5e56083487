// What measurements in a page share: the camera, a video, and the marker of engines/scene/marker.py read from pictures.

globalThis.probe = (() => {
  const CELLS = 24;

  function crc8(number) {
    let crc = 0xa5;
    for (const byte of [number >> 8, number & 255]) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = crc & 128 ? ((crc << 1) ^ 7) & 255 : crc << 1;
    }
    return crc;
  }

  /** The number in a picture of width x height, whose luma `level(x, y)` tells, or null. */
  function read(width, height, level) {
    let word = 0;
    for (let cell = 0; cell < CELLS; cell += 1) {
      let sum = 0;
      let points = 0;
      for (const across of [0.35, 0.5, 0.65]) {
        for (const down of [0.35, 0.5, 0.65]) {
          sum += level(Math.floor(((cell + across) * width) / CELLS), Math.floor((down * height) / 20));
          points += 1;
        }
      }
      const mean = sum / points;
      if (mean >= 64 && mean <= 187) return null;
      word = (word << 1) | (mean > 187 ? 1 : 0);
    }
    const number = word >>> 8;
    return crc8(number) === (word & 255) ? number : null;
  }

  const canvases = new Map();

  /** RGBA of the upper `rows` rows of what a video shows. */
  function pixels(video, rows = video.videoHeight) {
    const key = `${video.videoWidth} ${rows}`;
    if (!canvases.has(key)) {
      const canvas = new OffscreenCanvas(video.videoWidth, rows);
      canvases.set(key, canvas.getContext("2d", { willReadFrequently: true }));
    }
    const context = canvases.get(key);
    context.drawImage(video, 0, 0);
    return context.getImageData(0, 0, video.videoWidth, rows).data;
  }

  const luma = (rgba, at) => 16 + 0.257 * rgba[at] + 0.504 * rgba[at + 1] + 0.098 * rgba[at + 2];

  /** The marker of the frame a video shows at present, or null. */
  function shown(video) {
    const { videoWidth: width, videoHeight: height } = video;
    const rgba = pixels(video, Math.ceil(height / 20));
    return read(width, height, (x, y) => luma(rgba, 4 * (y * width + x)));
  }

  /** How far apart the darkest and the lightest luma of the marker's strip are. */
  function range(video) {
    const rgba = pixels(video, Math.ceil(video.videoHeight / 20));
    let [least, most] = [255, 0];
    for (let at = 0; at < rgba.length; at += 4) {
      const level = luma(rgba, at);
      least = Math.min(least, level);
      most = Math.max(most, level);
    }
    return most - least;
  }

  /** What a video shows as luma, one byte a pixel, in base64. */
  function picture(video) {
    const { videoWidth: width, videoHeight: height } = video;
    const rgba = pixels(video);
    const plane = new Uint8Array(width * height);
    for (let at = 0; at < plane.length; at += 1) plane[at] = luma(rgba, 4 * at);
    let text = "";
    for (let at = 0; at < plane.length; at += 8192) text += String.fromCharCode(...plane.subarray(at, at + 8192));
    return { width, height, luma: btoa(text) };
  }

  /** The marker in a VideoFrame as the camera gave it, or null. */
  async function captured(frame) {
    const rows = 2 * Math.ceil(frame.codedHeight / 40);
    const rect = { x: 0, y: 0, width: frame.codedWidth, height: rows };
    const bytes = new Uint8Array(frame.allocationSize({ rect }));
    const [{ offset, stride }] = await frame.copyTo(bytes, { rect });
    return read(frame.codedWidth, frame.codedHeight, (x, y) => bytes[offset + y * stride + x]);
  }

  /** The camera's stream and track. */
  async function camera() {
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 } });
    const [track] = media.getVideoTracks();
    track.contentHint = "motion";
    return [media, track];
  }

  /** A video of what `peer` receives. */
  function receive(peer) {
    peer.addTransceiver("video", { direction: "recvonly" });
    const video = document.createElement("video");
    Object.assign(video, { autoplay: true, muted: true });
    document.body.append(video);
    peer.addEventListener("track", (event) => {
      video.srcObject = new MediaStream([event.track]);
    });
    return video;
  }

  return { shown, range, picture, captured, camera, receive };
})();
