// Preload for servers that would listen on every interface and on a port of their own choice: they
// listen on loopback, on a port that the system chose, and that is printed as one JSON line, together
// with what others announced before. The process ends when its standard input ends.
const net = require('node:net');

const listen = net.Server.prototype.listen;
const announced = {};
let waiting = null;

// Merges into the line that is printed when the server itself listens.
exports.announce = (addresses) => {
  Object.assign(announced, addresses);
  if (waiting) waiting();
};

// Listens on loopback without being taken for the server.
exports.listenUnseen = (server, ready) => {
  exports.pending = true;
  listen.call(server, 0, '127.0.0.1', () => {
    exports.pending = false;
    ready(server.address().port);
  });
};

net.Server.prototype.listen = function onLoopback(...args) {
  const done = args.findLast((arg) => typeof arg === 'function');
  return listen.call(this, 0, '127.0.0.1', () => {
    const url = `http://127.0.0.1:${this.address().port}/mcp`;
    waiting = () => process.stdout.write(`${JSON.stringify({ url, ...announced })}\n`);
    if (!exports.pending) waiting();
    if (done) done();
  });
};

process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
