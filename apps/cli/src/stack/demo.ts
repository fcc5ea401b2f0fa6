/** What a first look finds: a department, its DRVM over all nodes, and a program that computes in it. */
import { createReadStream, existsSync } from 'node:fs';
import {
  type DrvmView,
  DrvsError,
  MIN_SLICE_CPU_MILLI,
  MIN_SLICE_MEMORY_MIB,
  type OperationView,
  type ProcessRow,
} from '@drvs/contracts';
import type { ApiClient } from '../api/client.js';
import { readLocalFile, upload } from '../api/upload.js';
import { Failure } from '../failure.js';
import { assertSucceeded } from '../shell.js';

export const DEMO_TENANT = 'demo';
export const DEMO_DRVM = 'aula';
const DEMO_PROGRAM = 'primes';
/** Of each node: small enough for a laptop, and two slices of the smallest size are left for the visitor. */
const CPU_MILLI_EACH = Math.max(200, MIN_SLICE_CPU_MILLI);
const MEMORY_MIB_EACH = Math.max(256, MIN_SLICE_MEMORY_MIB);
const DISK_GIB_EACH = 1;

const DRVM_PATH = `/drvms/${encodeURIComponent(`${DEMO_TENANT}~${DEMO_DRVM}`)}`;

/** Makes what is missing of it; done twice it is the same as once. */
export async function makeDemo(
  client: ApiClient,
  nodes: number,
  program: string,
  onProgress: (text: string, fraction: number | null) => void,
): Promise<{ pid: number; node: string }> {
  onProgress(`department ${DEMO_TENANT}`, null);
  await client.post('/tenants', { name: DEMO_TENANT, quota: {} }).catch(unlessItExists);
  let drvm = await find(client);
  if (drvm === null) {
    const { operation } = await client.post<{ operation: OperationView }>('/drvms', {
      name: DEMO_DRVM,
      tenant: DEMO_TENANT,
      dvos: 'mol',
      cpu: (CPU_MILLI_EACH * nodes) / 1000,
      memoryMiB: MEMORY_MIB_EACH * nodes,
      diskGiB: DISK_GIB_EACH * nodes,
      nodes,
      policy: 'spread',
    });
    const ended = await client.wait(operation.id, {
      pollSeconds: 1,
      onProgress: ({ progress }) => onProgress(`DRVM ${DEMO_DRVM} over ${nodes} nodes`, progress),
    });
    assertSucceeded(ended);
    drvm = await find(client);
  }
  if (drvm === null) throw new Failure('NotFound', `the DRVM ${DEMO_DRVM} was made and is gone`);
  onProgress(`program ${DEMO_PROGRAM}`, null);
  return startProgram(client, program);
}

/** A stack that comes up again has its DRVM running again, and its program is started anew when it is not there. */
export async function keepDemo(client: ApiClient, program: string): Promise<void> {
  const drvm = await find(client);
  if (drvm === null || drvm.state !== 'running') return;
  const rows = await client.list<ProcessRow>(`${DRVM_PATH}/processes`);
  if (!rows.some(({ command }) => command.includes(DEMO_PROGRAM))) await startProgram(client, program);
}

async function startProgram(client: ApiClient, program: string): Promise<{ pid: number; node: string }> {
  const local = existsSync(program) ? await readLocalFile(program) : null;
  if (local === null) throw new Failure('NotFound', `the demonstration program ${program} is not built`);
  const path = await upload(client, DRVM_PATH, { ...local, bytes: () => createReadStream(program) }, '.wasm');
  return client.post(`${DRVM_PATH}/processes`, { program: path, name: DEMO_PROGRAM });
}

async function find(client: ApiClient): Promise<DrvmView | null> {
  try {
    return await client.get<DrvmView>(DRVM_PATH);
  } catch (error) {
    if (error instanceof DrvsError && error.code === 'NotFound') return null;
    throw error;
  }
}

function unlessItExists(error: unknown): void {
  if (!(error instanceof DrvsError && error.code === 'AlreadyExists')) throw error;
}
