// node-media-server, an RTMP server from npm: `node rtmp_server.js PORT` says "listening on port" when it serves.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const NodeMediaServer = require("node-media-server");

new NodeMediaServer({
  bind: "127.0.0.1",
  rtmp: { port: Number(process.argv[2]) },
  auth: { play: false, publish: false },
  store: { path: fs.mkdtempSync(path.join(os.tmpdir(), "rtmp-")), maxHistory: 10 },
}).run();
