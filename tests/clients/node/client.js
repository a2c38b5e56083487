// @roamhq/wrtc over WHIP and WHEP: `publish SCENE.y4m URL TOKEN` sends a video's frames over and over, 30 a second, `watch URL
// TOKEN OUT.y4m` writes what comes. Both go on until they are told to stop. It has VP8 and no H.264.
const fs = require("fs")
const { RTCPeerConnection, nonstandard } = require("@roamhq/wrtc")

async function exchange(pc, url, token) {
  await pc.setLocalDescription(await pc.createOffer())
  while (pc.iceGatheringState !== "complete") await new Promise((done) => (pc.onicegatheringstatechange = done))
  const headers = { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` }
  const answer = await fetch(url, { method: "POST", headers, body: pc.localDescription.sdp })
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`)
  const session = new URL(answer.headers.get("location"), url)
  process.once("SIGTERM", () => fetch(session, { method: "DELETE", headers }).finally(() => process.exit()))
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() })
}

function* frames(y4m) {
  const file = fs.readFileSync(y4m)
  const header = file.subarray(0, file.indexOf("\n")).toString()
  const [width, height] = ["W", "H"].map((name) => Number(header.match(` ${name}(\\d+)`)[1]))
  const size = (width * height * 3) / 2
  const marker = "FRAME\n".length
  while (true)
    for (let at = header.length + 1 + marker; at + size <= file.length; at += marker + size)
      yield { width, height, data: new Uint8ClampedArray(file.subarray(at, at + size)) }
}

async function publish(y4m, url, token) {
  const pc = new RTCPeerConnection()
  const camera = new nonstandard.RTCVideoSource()
  pc.addTransceiver(camera.createTrack(), { direction: "sendonly" })
  await exchange(pc, url, token)
  const pictures = frames(y4m)
  setInterval(() => camera.onFrame(pictures.next().value), 1000 / 30)
}

async function watch(url, token, out) {
  const pc = new RTCPeerConnection()
  const { track } = pc.addTransceiver("video", { direction: "recvonly" }).receiver
  const file = fs.openSync(out, "w")
  fs.writeSync(file, "YUV4MPEG2 W640 H480 F30:1 Ip C420\n")
  new nonstandard.RTCVideoSink(track).onframe = ({ frame: { width, height, data } }) => {
    if (width !== 640 || height !== 480) return // the door's own slate has a size of its own, the scene this one
    fs.writeSync(file, "FRAME\n")
    fs.writeSync(file, data)
  }
  await exchange(pc, url, token)
}

const [action, ...words] = process.argv.slice(2)
;({ publish, watch })[action](...words)
