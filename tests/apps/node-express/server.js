'use strict';

const express = require('express');
const { WebSocketServer } = require('ws');

const app = express();
const env = process.env;

app.get('/', (_request, response) => {
  response.type('text/plain');
  response.send(`Hello from ${env.POWERED_BY ?? 'paas'} ${env.HEROKU_RELEASE_VERSION ?? ''} ${env.DYNO ?? ''}\n`);
});

app.get('/slow', (request, response) => {
  setTimeout(() => response.type('text/plain').send('slow\n'), Number(request.query.ms ?? 1000));
});

app.get('/env', (_request, response) => response.json(env));

const server = app.listen(env.PORT ?? 5000, '0.0.0.0');
// Longer than a router keeps an idle connection, so that it is never the server who closes one in use.
server.keepAliveTimeout = 95_000;
server.headersTimeout = 100_000;

const sockets = new WebSocketServer({ server, path: '/ws' });
sockets.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});

// Take nothing new, finish what is in flight, tell WebSocket clients to come back, go.
process.once('SIGTERM', () => {
  server.on('request', (_request, response) => response.on('close', () => server.closeIdleConnections()));
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  idle.unref();
  for (const socket of sockets.clients) socket.close(1001, 'going away');
});
