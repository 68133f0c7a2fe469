// What Node's parser (llhttp) makes of the bytes of a connection. Reads cases from stdin, each behind its length (4 bytes,
// big endian), and prints for each a line of JSON: its requests, byte strings as latin1.
'use strict';
const http = require('http');
const { Duplex } = require('stream');

let seen = [];
const options = { maxHeaderSize: 1 << 20, requestTimeout: 0, headersTimeout: 0, requireHostHeader: false };
const server = http.createServer(options, (request, response) => {
  const body = [];
  request.on('data', (piece) => body.push(piece));
  request.on('error', () => {});
  request.on('end', () => {
    seen.push({
      method: request.method,
      target: request.url,
      fields: request.rawHeaders,
      body: Buffer.concat(body).toString('latin1'),
    });
    response.end();
  });
});
server.maxHeadersCount = 0;
// What came before it is still to be told.
server.on('clientError', () => {});

function judge(bytes) {
  return new Promise((resolve) => {
    seen = [];
    const socket = new Duplex({ read() {}, write(_chunk, _encoding, done) { done(); } });
    socket.setTimeout = socket.setNoDelay = socket.setKeepAlive = () => socket;
    socket.on('error', () => {});
    socket.on('close', () => setImmediate(() => resolve(seen)));
    server.emit('connection', socket);
    socket.push(bytes);
    // Everything that can be read is read by then, for there is nothing to wait for.
    let turns = 8;
    const wait = () => (turns-- > 0 ? setImmediate(wait) : socket.destroy());
    wait();
  });
}

let rest = Buffer.alloc(0);
let last = Promise.resolve();
process.stdin.on('data', (piece) => {
  rest = Buffer.concat([rest, piece]);
  while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
    const end = 4 + rest.readUInt32BE(0);
    const bytes = rest.subarray(4, end);
    rest = rest.subarray(end);
    last = last.then(() => judge(bytes)).then((requests) => process.stdout.write(JSON.stringify(requests) + '\n'));
  }
});
