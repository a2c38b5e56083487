// libdatachannel, which OBS is built on, over WHIP in OBS's way: `SCENE URL TOKEN` sends access units of H.264 (each behind its
// length, 32 bit) over and over, 30 a second, and sound. It posts the offer before it has candidates, and trickles none.
const fs = require("fs")
const { Audio, H264RtpPacketizer, PeerConnection, RtcpNackResponder, RtcpSrReporter, RtpPacketizationConfig, RtpPacketizer,
  Video } = require("node-datachannel")

const OPUS = "minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1"
const H264 = "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"
const SILENCE = Buffer.from([0xf8, 0xff, 0xfe]) // 20 ms of Opus

const [scene, url, token] = process.argv.slice(2)
const pc = new PeerConnection("obs", { iceServers: [], disableAutoNegotiation: true })

function track(media, packetizer) {
  const added = pc.addTrack(media)
  packetizer.addToChain(new RtcpSrReporter(packetizer.rtpConfig))
  packetizer.addToChain(new RtcpNackResponder())
  added.setMediaHandler(packetizer)
  return added
}

const ssrcs = { audio: 3388068600, video: 3388068601 }
const audio = new Audio("0", "SendOnly")
audio.addOpusCodec(111, OPUS)
audio.addSSRC(ssrcs.audio, "fancam", "obs", "obs-audio")
const sound = new RtpPacketizer(new RtpPacketizationConfig(ssrcs.audio, "fancam", 111, 48000))
const audioTrack = track(audio, sound)

const video = new Video("1", "SendOnly")
video.addH264Codec(96, H264)
video.addSSRC(ssrcs.video, "fancam", "obs", "obs-video")
const picture = new H264RtpPacketizer("StartSequence", new RtpPacketizationConfig(ssrcs.video, "fancam", 96, 90000))
const videoTrack = track(video, picture)

function* units() {
  const file = fs.readFileSync(scene)
  while (true)
    for (let at = 0; at < file.length; at += 4 + file.readUInt32BE(at))
      yield file.subarray(at + 4, at + 4 + file.readUInt32BE(at))
}

function send() {
  const pictures = units()
  setInterval(() => {
    videoTrack.sendMessageBinary(pictures.next().value)
    picture.rtpConfig.timestamp += 3000
  }, 1000 / 30)
  setInterval(() => {
    audioTrack.sendMessageBinary(SILENCE)
    sound.rtpConfig.timestamp += 960
  }, 20)
}

videoTrack.onOpen(send)
pc.onLocalDescription(async (sdp) => {
  const headers = { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` }
  const answer = await fetch(url, { method: "POST", headers, body: sdp })
  if (answer.status !== 201 || !answer.headers.get("location")) throw new Error(`${answer.status}: ${await answer.text()}`)
  const session = new URL(answer.headers.get("location"), url)
  process.once("SIGTERM", () => fetch(session, { method: "DELETE", headers }).finally(() => process.exit()))
  pc.setRemoteDescription(await answer.text(), "answer")
})
pc.setLocalDescription("offer")
