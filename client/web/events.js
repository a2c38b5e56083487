// Server-sent events, read by fetch because an EventSource sends no token.

import { BackOff, request } from "./http.js";

/** Calls `onStreams` with what GET /streams says whenever it changes, `onState` with "connected", "denied" or "lost"; never ends. */
export async function listen(onStreams, onState) {
  const backOff = new BackOff();
  for (;;) {
    try {
      const response = await request("/events");
      if (response.status === 401 || response.status === 403) {
        await onState("denied");
        continue;
      }
      if (!response.ok) throw new Error(String(response.status));
      await onState("connected");
      backOff.reset();
      await read(response.body, (event, data) => event === "streams" && onStreams(data));
    } catch {
      // The server is away: said below, tried again.
    }
    await onState("lost");
    await backOff.wait();
  }
}

async function read(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields.data) onEvent(fields.event, JSON.parse(fields.data));
    }
  }
}
