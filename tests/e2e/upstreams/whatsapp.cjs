// Preload: `node -r upstreams/whatsapp.cjs …/mcp-whatsapp-cloud/dist/index.js --http`.
// Nothing leaves this machine: what the server would send to the messaging service is answered and
// counted here. GET /executions on an address of its own answers {"messages": count, "other": count}:
// "messages" are the requests that would have sent a message to somebody.
const http = require('node:http');
const loopback = require('./loopback.cjs');

const counts = { messages: 0, other: 0 };

globalThis.fetch = async (url, init = {}) => {
  const sends = init.method === 'POST' && new URL(url).pathname.endsWith('/messages');
  counts[sends ? 'messages' : 'other'] += 1;
  const body = JSON.stringify({ messaging_product: 'whatsapp', messages: [{ id: `wamid.${counts.messages}` }] });
  return new Response(body, { status: 200, headers: { 'content-type': 'application/json' } });
};

const counter = http.createServer((_request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(counts));
});
loopback.listenUnseen(counter, (port) => loopback.announce({ executions: `http://127.0.0.1:${port}/executions` }));
