// The little of PostgreSQL's protocol (version 3.0, simple queries, no password) that a second client needs.
import { connect as dial } from 'node:net';

/** Connects to `host:port`; `query` resolves to the SQLSTATE of the error, or to undefined where there was none. */
export async function connect(address) {
  const [host, port] = address.split(':');
  const socket = dial(Number(port), host);
  let seen = Buffer.alloc(0);
  let failed;
  let answered;
  socket.on('data', (chunk) => {
    seen = Buffer.concat([seen, chunk]);
    while (seen.length >= 5 && seen.length > seen.readInt32BE(1)) {
      const kind = String.fromCharCode(seen[0]);
      const body = seen.subarray(5, seen.readInt32BE(1) + 1);
      if (kind === 'E') failed = /(?:^|\0)C(\w{5})\0/.exec(body.toString())?.[1] ?? 'XX000';
      if (kind === 'Z') answered?.resolve(failed);
      seen = seen.subarray(seen.readInt32BE(1) + 1);
    }
  });
  socket.on('error', (error) => answered?.reject(error));
  socket.on('close', () => answered?.reject(new Error('the connection was closed')));
  const answer = () => {
    failed = undefined;
    return new Promise((resolve, reject) => (answered = { resolve, reject }));
  };
  const startup = Buffer.from('\0\0\0\0\0\x03\0\0user\0walk\0database\0lakebox\0\0', 'latin1');
  startup.writeInt32BE(startup.length, 0);
  const ready = answer();
  socket.write(startup);
  await ready;
  return {
    query: (text) => {
      const body = Buffer.from(`${text}\0`);
      const head = Buffer.alloc(5);
      head.write('Q');
      head.writeInt32BE(body.length + 4, 1);
      const done = answer();
      socket.write(Buffer.concat([head, body]));
      return done;
    },
    close: () => {
      answered = undefined;
      socket.destroy();
    },
  };
}
