import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerSpec } from '@drvs/contracts';
import type { Transport } from '@drvs/drvmm-core';
import { afterEach, expect, test } from '@jest/globals';
import { MolContainer } from './container.js';

const folder = mkdtempSync(join(tmpdir(), 'drvs-network-limit-'));
let container: MolContainer | null = null;
afterEach(async () => {
  await container?.stop(0);
  rmSync(folder, { recursive: true, force: true });
});

test('the links of a container keep to the network rate of its spec, from the start and live', async () => {
  const limits: number[] = [];
  const transport: Transport = {
    events: { ipc() {}, peerUp() {}, peerLost() {}, control() {} },
    port: 0,
    async start() {},
    setPeers() {},
    rotate() {},
    sendIpc: () => false,
    control: () => undefined,
    isUp: () => false,
    setSendLimit: (bytesPerSecond) => void limits.push(bytesPerSecond),
    sent: { sentBytes: 12, heldTimes: 1, heldMs: 3 },
    receivedBytes: 7,
    async close() {},
  };
  const spec = (generation: number, networkMbps: number): ContainerSpec => ({
    drvmId: 'limited',
    drvmName: 'limited',
    dvos: 'mol',
    generation,
    index: 0,
    home: 0,
    limits: { cpuMilli: 1000, memoryMiB: 256, diskGiB: 1, networkMbps },
    peers: [{ index: 0, nodeId: 'node1', nodeName: 'node1', host: '127.0.0.1', port: 1 }],
    authorityCertificate: '',
    certificate: '',
  });
  container = new MolContainer({
    spec: spec(3, 8),
    incarnation: 'first',
    dataFolder: join(folder, 'drvm'),
    transport,
    instrument: async (_sha256, bytes) => bytes,
    emit: () => {},
  });
  await container.start();
  expect(limits).toEqual([1_000_000]);
  await container.update(spec(4, 100));
  expect(limits).toEqual([1_000_000, 12_500_000]);
  await container.update(spec(2, 5));
  expect(limits).toEqual([1_000_000, 12_500_000]);
  await container.update(spec(5, 0));
  expect(limits.at(-1)).toBe(0);
  expect(container.status().network).toEqual({ sentBytes: 12, receivedBytes: 7, heldTimes: 1, heldMs: 3 });
});
