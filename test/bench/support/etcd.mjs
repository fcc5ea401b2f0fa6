// Three members of Debian's etcd (etcd-server) with disks of their own, clients and peers by mutual TLS; null where it
// is not installed. Its key-value calls over @grpc/grpc-js, which is what npm's etcd clients stand on, without their layers.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import grpc from '@grpc/grpc-js';
import { freePort } from './ports.mjs';

const MEMBERS = 3;
const READY_MS = 60_000;

export const etcdVersion = () =>
  /etcd Version: (\S+)/.exec(spawnSync('etcd', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1] ??
  null;

/** `authority.issue(name, addresses)` gives certificates. */
export async function startEtcd(authority) {
  if (etcdVersion() === null) return null;
  const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-etcd-'));
  const { key, certificate } = await authority.issue('etcd', ['127.0.0.1']);
  const files = {};
  for (const [name, text] of Object.entries({ key, certificate, authority: authority.certificate })) {
    files[name] = join(folder, `${name}.pem`);
    await writeFile(files[name], text, { mode: 0o600 });
  }
  const ports = [];
  for (let i = 0; i < MEMBERS * 2; i++) ports.push(await freePort());
  const peerUrl = (i) => `https://127.0.0.1:${ports[i * 2]}`;
  const clientUrl = (i) => `https://127.0.0.1:${ports[i * 2 + 1]}`;
  const cluster = Array.from({ length: MEMBERS }, (_, i) => `m${i}=${peerUrl(i)}`).join(',');
  const running = new Map();
  const start = (i, state) => {
    const child = spawn(
      'etcd',
      [
        ['name', `m${i}`],
        ['data-dir', join(folder, `m${i}`)],
        ['listen-peer-urls', peerUrl(i)],
        ['initial-advertise-peer-urls', peerUrl(i)],
        ['listen-client-urls', clientUrl(i)],
        ['advertise-client-urls', clientUrl(i)],
        ['initial-cluster', cluster],
        ['initial-cluster-state', state],
        ['log-level', 'error'],
        ...['', 'peer-'].flatMap((of) => [
          [`${of}cert-file`, files.certificate],
          [`${of}key-file`, files.key],
          [`${of}trusted-ca-file`, files.authority],
          [`${of}client-cert-auth`, 'true'],
        ]),
      ].map(([name, value]) => `--${name}=${value}`),
      { stdio: 'ignore', env: { PATH: process.env.PATH } },
    );
    running.set(i, child);
  };
  for (let i = 0; i < MEMBERS; i++) start(i, 'new');
  const killAll = () => {
    for (const child of running.values()) child.kill('SIGKILL');
  };
  process.once('exit', killAll);
  const credentials = grpc.credentials.createSsl(
    Buffer.from(authority.certificate),
    Buffer.from(key),
    Buffer.from(certificate),
  );
  const clients = Array.from(
    { length: MEMBERS },
    (_, i) =>
      new Kv(`127.0.0.1:${ports[i * 2 + 1]}`, credentials, { 'grpc.initial_reconnect_backoff_ms': 50 }),
  );
  const call = (i, method, request, deadlineMs = 10_000) =>
    new Promise((resolve, reject) => {
      clients[i][method](request, { deadline: Date.now() + deadlineMs }, (error, answer) =>
        error ? reject(error) : resolve(answer),
      );
    });
  const until = Date.now() + READY_MS;
  for (let i = 0; i < MEMBERS; i++) {
    for (;;) {
      try {
        await call(i, 'put', { key: 'ready', value: Buffer.from('1') });
        break;
      } catch (error) {
        if (Date.now() > until) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
  return {
    call,
    /** The member that leads. */
    async leader() {
      for (let i = 0; i < MEMBERS; i++) {
        if (!running.has(i)) continue;
        const { leader, self } = await call(i, 'status', {}).catch(() => ({}));
        if (leader !== undefined && leader === self) return i;
      }
      return null;
    },
    async kill(i) {
      const child = running.get(i);
      running.delete(i);
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
    restart: (i) => start(i, 'existing'),
    async stop() {
      for (const client of clients) client.close();
      const gone = [...running.values()].map(
        (child) => new Promise((resolve) => child.once('exit', resolve)),
      );
      killAll();
      process.off('exit', killAll);
      await Promise.all(gone);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

// ── as much of protocol buffers as these calls need ─────────────────────────────────────────────────────────────
const varint = (value) => {
  const bytes = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left % 128) | 128);
  }
};
const field = (number, bytes) => [Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes];
const putRequest = ({ key, value }) => Buffer.concat([...field(1, Buffer.from(key)), ...field(2, value)]);
const rangeRequest = ({ key, isSerializable = false }) =>
  Buffer.concat([...field(1, Buffer.from(key)), ...(isSerializable ? [Buffer.from([7 << 3, 1])] : [])]);

/** Fields of a message: numbers as BigInt, the others as bytes. */
function fieldsOf(bytes) {
  const fields = new Map();
  let at = 0;
  const number = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(number());
    if ((tag & 7) === 0) fields.set(tag >> 3, number());
    else {
      const length = Number(number());
      fields.set(tag >> 3, bytes.subarray(at, at + length));
      at += length;
    }
  }
  return fields;
}
const statusOf = (bytes) => {
  const fields = fieldsOf(bytes);
  return { leader: fields.get(4), self: fieldsOf(fields.get(1)).get(2) };
};

const method = (path, requestSerialize, responseDeserialize) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize,
});
const same = (bytes) => bytes;
const Kv = grpc.makeGenericClientConstructor(
  {
    put: method('/etcdserverpb.KV/Put', putRequest, same),
    range: method('/etcdserverpb.KV/Range', rangeRequest, same),
    status: method('/etcdserverpb.Maintenance/Status', () => Buffer.alloc(0), statusOf),
  },
  'etcd',
);
