// What WHIP (RFC 9725) and WHEP have in common: post an offer, take the answer, delete the session.

import { pause, request } from "./http.js";

const SPACING_MS = 220;
const MOST_CONNECTING = 3;
const PATIENCE_MS = 3000;

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** All candidates known at once, or after half a second those that are. */
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, 500);
  });
}

const LINK = /<([^>]*)>((?:[^",<]|"(?:[^"\\]|\\.)*")*)/g;
const PARAMETER = /;\s*([\w-]+)="((?:[^"\\]|\\.)*)"/g;

/** The STUN and TURN servers that our server tells of (RFC 9725 §4.6): a browser must know them before it offers. */
async function iceServers(path) {
  const response = await request(path, { method: "OPTIONS" });
  return [...(response.headers.get("Link") ?? "").matchAll(LINK)].flatMap(([, urls, parameters]) => {
    const told = Object.fromEntries(
      [...parameters.matchAll(PARAMETER)].map(([, name, value]) => [name, value.replace(/\\(.)/g, "$1")]),
    );
    return told.rel === "ice-server" ? [{ urls, username: told.username, credential: told.credential }] : [];
  });
}

/** When the peer has connected, or failed, or takes its time. */
function settled(peer) {
  return new Promise((resolve) => {
    const look = () => ["new", "connecting"].includes(peer.connectionState) || resolve();
    peer.addEventListener("connectionstatechange", look);
    setTimeout(resolve, PATIENCE_MS);
  });
}

const connecting = [];
let turn = Promise.resolve();

/** Sessions are opened one after the other: a server takes only so many offers a second from one address, and has only so many
 * of its peers connecting at a time. */
function inTurn(work) {
  const mine = turn.then(() => (connecting.length < MOST_CONNECTING ? null : connecting.shift())).then(work);
  turn = mine.then(() => pause(SPACING_MS), () => pause(SPACING_MS));
  return mine;
}

/** Connects `peer` by posting its offer to `path`; resolves to a function that ends the session. */
export async function open(peer, path) {
  peer.setConfiguration({ iceServers: await iceServers(path) });
  await peer.setLocalDescription();
  await gathered(peer);
  const offer = { method: "POST", headers: { "Content-Type": "application/sdp" }, body: peer.localDescription.sdp };
  const response = await inTurn(() => request(path, offer));
  if (response.status !== 201) {
    const told = await response.json().catch(() => ({}));
    throw new Refused(response.status, told.detail ?? `${response.status} ${response.statusText}`);
  }
  connecting.push(settled(peer));
  const session = response.headers.get("Location");
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  return () => {
    peer.close();
    request(session, { method: "DELETE", keepalive: true }).catch(() => {});
  };
}
