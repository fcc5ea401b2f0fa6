// Memory of an idle agent and of idle containers (resident set: VmRSS of the process after it has settled), each against a
// Node process that does nothing. The bounds are those that a node is planned with: 120 MiB each.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { WebSocketServer } from 'ws';
import { WebSocketPipe } from '../../apps/node-agent/dist/pipes/web-socket-pipe.js';
import { RpcPeer } from '../../libs/contracts/dist/index.js';

const CONTAINERS = 3;
const SETTLE_MS = 10_000;
const BOUND_MIB = 120;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const data = realpathSync(mkdtempSync(join(tmpdir(), 'drvs-bench-')));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const residentMiB = (pid) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

const authorityKeys = await crypto.subtle.generateKey(EC, true, ['sign', 'verify']);
const authority = await x509.X509CertificateGenerator.createSelfSigned({
  name: 'CN=bench',
  keys: authorityKeys,
  signingAlgorithm: EC,
  extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
});
const certificateFor = async (requestPem) => {
  const request = new x509.Pkcs10CertificateRequest(requestPem);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: request.subject,
    issuer: authority.subject,
    publicKey: request.publicKey,
    signingKey: authorityKeys.privateKey,
    signingAlgorithm: EC,
    extensions: [
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
    ],
  });
  return certificate.toString('pem');
};

const server = createServer((_request, response) => response.end('{"nodeId":"n","credential":"c"}'));
const connected = new Promise((resolve) => {
  new WebSocketServer({ server }).on('connection', (socket) =>
    resolve(new RpcPeer(new WebSocketPipe(socket), 'agent')),
  );
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const agentMain = join(root, 'apps/node-agent/dist/main.js');
const environment = {
  PATH: process.env.PATH,
  DRVS_API_URL: `http://127.0.0.1:${server.address().port}`,
  DRVS_NODE_NAME: 'bench',
  DRVS_DATA: data,
  DRVS_ENROL_TOKEN: 'once',
};
const peer = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
const agent = spawn(process.execPath, [agentMain], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: environment,
});
try {
  const channel = await connected;
  const pids = [];
  for (let n = 0; n < CONTAINERS; n++) {
    const drvmId = `bench${n}`;
    const { result } = await channel.call('drvm.prepare', { drvmId, index: 0 });
    const spec = {
      drvmId,
      drvmName: drvmId,
      dvos: 'mol',
      generation: 1,
      index: 0,
      home: 0,
      limits: { cpuMilli: 250, memoryMiB: 256, diskGiB: 1, networkMbps: 10 },
      peers: [{ index: 0, nodeId: 'n', nodeName: 'bench', host: result.host, port: result.port }],
      authorityCertificate: authority.toString('pem'),
      certificate: await certificateFor(result.certificateRequest),
    };
    pids.push((await channel.call('drvm.start', spec, { timeoutMs: 120_000 })).result.osPid);
  }
  await pause(SETTLE_MS);
  const nothing = residentMiB(peer.pid);
  const rows = [
    ['agent', residentMiB(agent.pid)],
    ['container (median of 3)', pids.map(residentMiB).sort((a, b) => a - b)[1]],
  ];
  for (const [name, mib] of rows) {
    const verdict = mib <= BOUND_MIB ? 'within' : 'OVER';
    console.log(
      `idle ${name}: ${mib.toFixed(1)} MiB, ${verdict} the bound of ${BOUND_MIB}; ` +
        `${(mib / nothing).toFixed(2)} × a Node process that does nothing (${nothing.toFixed(1)} MiB)`,
    );
    if (mib > BOUND_MIB) process.exitCode = 1;
  }
} finally {
  peer.kill('SIGKILL');
  // Ends its containers too.
  agent.kill('SIGUSR2');
  await new Promise((resolve) => agent.once('exit', resolve));
  server.closeAllConnections();
  server.close();
  rmSync(data, { recursive: true, force: true });
}
