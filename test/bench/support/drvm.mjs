// A DRVM of several containers, each an OS process on this machine, joined over TLS on the loopback interface.
import 'reflect-metadata';
import { fork } from 'node:child_process';
import { randomUUID, webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { containerName } from '@drvs/drvmm-core';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const script = join(dirname(fileURLToPath(import.meta.url)), 'container.mjs');

const validity = () => ({
  notBefore: new Date(Date.now() - DAY_MS),
  notAfter: new Date(Date.now() + DAY_MS),
  signingAlgorithm: ALGORITHM,
});

async function makeAuthority() {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: 'CN=authority',
      keys,
      extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
      ...validity(),
    },
    webcrypto,
  );
  return { keys, certificate, pem: certificate.toString('pem') };
}

async function issue(authority, commonName, serial) {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const usages = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: `0${serial + 2}`,
      subject: [{ CN: [commonName] }],
      issuer: authority.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: authority.keys.privateKey,
      extensions: [new x509.ExtendedKeyUsageExtension(usages)],
      ...validity(),
    },
    webcrypto,
  );
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${key.replace(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`,
    certificate: certificate.toString('pem'),
  };
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Nodes are node1..nodeN; node1 is home. `call(method, params, {at, body})` goes to container `at`, by default home. */
export async function startDrvm({ nodes = 2, memoryMiB = 1024, lostAfterMs = 1500 } = {}) {
  const drvmId = randomUUID();
  const authority = await makeAuthority();
  const folder = await mkdtemp(join(tmpdir(), 'drvs-containers-'));
  const peers = [];
  for (let index = 0; index < nodes; index++) {
    const nodeName = `node${index + 1}`;
    peers.push({ index, nodeId: nodeName, nodeName, host: '127.0.0.1', port: await freePort() });
  }
  const identities = await Promise.all(
    peers.map(({ index }) => issue(authority, containerName(drvmId, index), index)),
  );
  const events = [];
  const containers = [];
  let nextId = 1;

  const startContainer = async (index) => {
    const child = fork(script, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const waiting = new Map();
    const container = { child, waiting };
    containers[index] = container;
    const spec = {
      drvmId,
      drvmName: 'fisica',
      dvos: 'mol',
      generation: 1,
      index,
      home: 0,
      limits: { cpuMilli: 1000, memoryMiB, diskGiB: 1, networkMbps: 0 },
      peers,
      authorityCertificate: authority.pem,
      certificate: identities[index].certificate,
    };
    await new Promise((resolve, reject) => {
      child.on('message', (message) => {
        if (message.started) resolve();
        else if (message.event) events.push(message.event);
        else {
          waiting.get(message.id)?.(message);
          waiting.delete(message.id);
        }
      });
      child.once('exit', (code, signal) => {
        reject(new Error(`container ${index} ended: ${signal ?? code}`));
        for (const answer of waiting.values())
          answer({ error: { code: 'ContainerUnreachable', message: `container ${index} is gone` } });
      });
      child.send({
        spec,
        incarnation: randomUUID(),
        dataFolder: join(folder, String(index)),
        identity: identities[index],
        authority: authority.pem,
        lostAfterMs,
      });
    });
  };

  const call = async (method, params, { at = 0, body, onChunk, onBody } = {}) => {
    const { child, waiting } = containers[at];
    const id = nextId++;
    const answer = new Promise((resolve) => waiting.set(id, resolve));
    child.send({ id, method, params, body: body && Buffer.from(body).toString('base64') });
    const { result, error, chunks, bytes } = await answer;
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    for (const [chunk, piece] of chunks) onChunk?.(chunk, Buffer.from(piece, 'base64'));
    if (bytes !== undefined) onBody?.(Buffer.from(bytes, 'base64'));
    return result;
  };

  for (let index = 0; index < nodes; index++) await startContainer(index);
  for (let index = 0; index < nodes; index++) {
    while ((await call('container.status', {}, { at: index })).state !== 'running')
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    call,
    events,
    startContainer,
    kill(index) {
      const { child } = containers[index];
      return new Promise((resolve) => {
        child.once('exit', resolve);
        child.kill('SIGKILL');
      });
    },
    isAlive: (index) =>
      containers[index].child.exitCode === null && containers[index].child.signalCode === null,
    /** It kills itself when it has taken this step of a move of home. */
    dieAt: (index, step) => containers[index].child.send({ dieAt: step }),
    /** SIGSTOP, SIGCONT and the like: the process is not waited for. */
    signal(index, name) {
      containers[index].child.kill(name);
    },
    async stop() {
      await Promise.all(
        containers.map(
          ({ child }) =>
            new Promise((resolve) => {
              if (child.exitCode !== null || child.signalCode !== null) return resolve();
              child.once('exit', resolve);
              child.kill('SIGKILL');
            }),
        ),
      );
      await rm(folder, { recursive: true, force: true });
    },
  };
}
