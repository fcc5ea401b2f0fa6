import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ContainerSpec, ContainerState, ResourceAmounts } from '@drvs/contracts';
import { findContainers } from '../supervisor/host-processes.js';
import { ApiPeer, until } from './api-peer.js';
import { TestAuthority } from './authority.js';

const MAIN = process.env.DRVS_TEST_AGENT ?? fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export const SMALL: ResourceAmounts = { cpuMilli: 500, memoryMiB: 256, diskGiB: 1, networkMbps: 10 };

/** An agent as a process of its own, on a folder of its own, with an API peer in the test. */
export class AgentWorld implements AsyncDisposable {
  readonly output: string[] = [];
  #child: ChildProcess | null = null;

  private constructor(
    readonly api: ApiPeer,
    readonly data: string,
    readonly authority: TestAuthority,
  ) {}

  static async create(): Promise<AgentWorld> {
    const api = await ApiPeer.start();
    api.tokens.add('one-time');
    const data = realpathSync(mkdtempSync(join(tmpdir(), 'drvs-agent-')));
    return new AgentWorld(api, data, await TestAuthority.create('test authority'));
  }

  /** Starts the agent and waits for its channel. */
  static async connected(): Promise<AgentWorld> {
    const world = await AgentWorld.create();
    world.spawn();
    await world.api.connected();
    return world;
  }

  spawn(environment: Record<string, string> = {}, args: string[] = []): ChildProcess {
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        DRVS_API_URL: this.api.url,
        DRVS_NODE_NAME: 'node1',
        DRVS_DATA: this.data,
        DRVS_ENROL_TOKEN: 'one-time',
        DRVS_OFFER_CPU: '1',
        DRVS_OFFER_MEMORY_MIB: '1024',
        DRVS_OFFER_DISK_GIB: '1',
        ...environment,
      },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (piece: Buffer) => this.output.push(piece.toString('utf8')));
    }
    this.#child = child;
    return child;
  }

  get agentPid(): number {
    return this.#child?.pid as number;
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const code = await ended;
    // The end of its connection may be noticed after the end of the process; the next agent's must not be taken for it.
    await until('its channel is closed', () => this.api.agent === null);
    return code;
  }

  async exitCode(): Promise<number | null> {
    const child = this.#child as ChildProcess;
    await until('the agent has ended', () => child.exitCode !== null || child.signalCode !== null);
    return child.exitCode;
  }

  /** Prepares a DRVM and makes its spec. */
  async spec(drvmId: string, change: Partial<ContainerSpec> = {}): Promise<ContainerSpec> {
    const { result } = await this.api.call('drvm.prepare', { drvmId, index: 0 });
    const { certificate } = await this.authority.sign(result.certificateRequest);
    return {
      drvmId,
      drvmName: drvmId,
      dvos: 'mol',
      generation: 1,
      index: 0,
      home: 0,
      limits: SMALL,
      peers: [{ index: 0, nodeId: 'id-of-node1', nodeName: 'node1', host: result.host, port: result.port }],
      authorityCertificate: this.authority.pem,
      certificate,
      ...change,
    };
  }

  async start(drvmId: string, change: Partial<ContainerSpec> = {}): Promise<ContainerState> {
    const spec = await this.spec(drvmId, change);
    return (await this.api.call('drvm.start', spec, { timeoutMs: 60_000 })).result;
  }

  async state(drvmId: string): Promise<ContainerState> {
    const { result } = await this.api.call('drvm.list', {});
    const state = result.find((candidate) => candidate.drvmId === drvmId);
    if (!state) throw new Error(`${drvmId} is not on this node`);
    return state;
  }

  folder(drvmId: string): string {
    return join(this.data, 'drvms', drvmId);
  }

  /** Ends the agent and all its containers, and removes what they left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
    await this.api.close();
    const drvms = join(this.data, 'drvms');
    for (const name of readdirOr(drvms)) {
      const folder = join(drvms, name);
      for (let found = findContainers(folder); found.length > 0; found = findContainers(folder)) {
        for (const { pid } of found) {
          try {
            process.kill(pid, 'SIGKILL');
          } catch {
            // It ended between the look and the kill.
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    await removeGroups(this.data);
    rmSync(this.data, { recursive: true, force: true });
  }
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Control groups of this world's agents, deepest first; the kernel lets go of them when their processes are reaped. */
async function removeGroups(data: string): Promise<void> {
  await until('the control groups are gone', () => {
    for (const folder of groupsOf(data)) {
      spawnSync('find', [folder, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+'], { stdio: 'ignore' });
    }
    return groupsOf(data).length === 0;
  });
}

/** Folders of this world's agents in all hierarchies. */
export function groupsOf(data: string): string[] {
  const scope = execFileSync('sh', ['-c', `printf %s "$0" | sha256sum | cut -c1-8`, data], {
    encoding: 'utf8',
  });
  const name = `node1-${scope.trim()}`;
  return ['/sys/fs/cgroup', ...readdirOr('/sys/fs/cgroup').map((mount) => `/sys/fs/cgroup/${mount}`)]
    .map((mount) => `${mount}/drvs/${name}`)
    .filter((folder) => readdirOr(folder).length > 0);
}
