import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  ContainerEvent,
  ContainerMethod,
  ContainerMethods,
  ContainerPeer,
  ContainerSpec,
  ExitStatus,
  GivenDevice,
  ResourceAmounts,
  RpcContext,
} from '@drvs/contracts';
import { containerName, createTransport } from '@drvs/drvmm-core';
import { MolContainer } from '@drvs/dvos';
import { instrument } from '@drvs/dvos/loader';
import type { z } from 'zod';
import { freePort } from '../support/ports.js';
import { Authority, type Identity } from './authority.js';

type Params<M extends ContainerMethod> = z.input<(typeof ContainerMethods)[M]['params']>;
type Result<M extends ContainerMethod> = z.output<(typeof ContainerMethods)[M]['result']>;

export interface DrvmOptions {
  nodes?: number;
  memoryMiB?: number;
  /** Kept across restarts when given. */
  dataFolder?: string;
}

/** Instrumented programs, shared by all DRVMs of a test file: it takes a second each. */
const instrumented = new Map<string, Uint8Array>();

/**
 * A DRVM of several containers in this process, joined by the real transport over TLS on the loopback interface.
 * Nodes are named node1..nodeN; node1 (index 0) is home.
 */
export class Drvm {
  readonly events: ContainerEvent[] = [];
  readonly containers: MolContainer[] = [];
  #generation = 1;
  /** By index of the node that they are on. */
  readonly #devices = new Map<number, GivenDevice[]>();

  private constructor(
    readonly id: string,
    private readonly authority: Authority,
    private readonly identities: Identity[],
    readonly peers: ContainerPeer[],
    private readonly memoryMiB: number,
    private readonly folder: string,
  ) {}

  static async start({ nodes = 3, memoryMiB = 512 }: DrvmOptions = {}): Promise<Drvm> {
    const id = randomUUID();
    const authority = await Authority.create();
    const peers: ContainerPeer[] = [];
    const identities: Identity[] = [];
    for (let index = 0; index < nodes; index++) {
      const nodeName = `node${index + 1}`;
      peers.push({ index, nodeId: nodeName, nodeName, host: '127.0.0.1', port: await freePort() });
      identities.push(await authority.issue(containerName(id, index)));
    }
    const folder = await mkdtemp(join(tmpdir(), 'drvs-conformance-'));
    const drvm = new Drvm(id, authority, identities, peers, memoryMiB, folder);
    for (let index = 0; index < nodes; index++) drvm.containers.push(await drvm.startContainer(index));
    await drvm.until(() => drvm.containers.every((container) => container.status().state === 'running'));
    return drvm;
  }

  #specOf(index: number, limits: Partial<ResourceAmounts> = {}): ContainerSpec {
    return {
      drvmId: this.id,
      drvmName: 'fisica',
      dvos: 'mol',
      generation: this.#generation,
      index,
      home: 0,
      limits: { cpuMilli: 1000, memoryMiB: this.memoryMiB, diskGiB: 1, networkMbps: 0, ...limits },
      devices: this.#devices.get(index) ?? [],
      peers: this.peers,
      authorityCertificate: this.authority.pem,
      certificate: this.identities[index]!.certificate,
    };
  }

  /** Gives a container other limits as it runs; those not named are what they were at first. */
  async limit(index: number, limits: Partial<ResourceAmounts>): Promise<void> {
    this.#generation++;
    await this.call('container.update', this.#specOf(index, limits), { at: index });
  }

  /** These devices of the node are the DRVM's from now on, and no others. */
  async give(index: number, devices: GivenDevice[]): Promise<void> {
    this.#devices.set(index, devices);
    await this.limit(index, {});
  }

  async startContainer(index: number): Promise<MolContainer> {
    const { key, certificate } = this.identities[index]!;
    const spec = this.#specOf(index);
    const incarnation = randomUUID();
    const { host, port } = this.peers[index]!;
    const container = new MolContainer({
      spec,
      incarnation,
      dataFolder: join(this.folder, String(index)),
      transport: createTransport({
        drvmId: this.id,
        index,
        incarnation,
        listen: { host, port },
        key,
        certificate,
        authority: this.authority.pem,
        lostAfterMs: 1500,
      }),
      instrument: async (sha256, module) => {
        let bytes = instrumented.get(sha256);
        if (bytes === undefined) {
          bytes = instrument(module).module;
          instrumented.set(sha256, bytes);
        }
        return bytes;
      },
      emit: (event) => this.events.push(event),
    });
    await container.start();
    return container;
  }

  /** A call to container `at`, by default home; chunks come to `onChunk`. */
  async call<M extends ContainerMethod>(
    method: M,
    params: Params<M>,
    options: { at?: number; body?: Uint8Array; onChunk?: (params: unknown, body: Uint8Array) => void } = {},
  ): Promise<Result<M>> {
    const context: RpcContext = {
      method,
      body: options.body ?? new Uint8Array(0),
      signal: new AbortController().signal,
      chunk: async (chunk, body = new Uint8Array(0)) => options.onChunk?.(chunk, body),
    };
    return (await this.containers[options.at ?? 0]!.call(method, params, context)) as Result<M>;
  }

  /** The bytes of a file from `offset` on, at most 1 MiB. */
  async read(path: string, at = 0, offset = 0): Promise<Buffer> {
    const context: RpcContext = {
      method: 'file.read',
      body: new Uint8Array(0),
      signal: new AbortController().signal,
      chunk: async () => undefined,
    };
    const answer = await this.containers[at]!.call('file.read', { path, offset }, context);
    return Buffer.from((answer as { body: Uint8Array }).body);
  }

  async upload(path: string, bytes: Uint8Array): Promise<void> {
    await this.call('file.write', { path, parents: true, truncate: true, mode: 0o755 }, { body: bytes });
  }

  async uploadGuest(name: string): Promise<string> {
    const path = `/bin/${name}.wasm`;
    await this.upload(path, await readFile(guestPath(name)));
    return path;
  }

  /** All output of a process, until its end. */
  async outputOf(pid: number, at = 0): Promise<{ stdout: string; stderr: string; exit: ExitStatus | null }> {
    const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const { exit } = await this.call(
      'process.output',
      { pid, follow: true },
      {
        at,
        onChunk: (params, body) => {
          parts[(params as { stream: 'stdout' | 'stderr' }).stream].push(Buffer.from(body));
        },
      },
    );
    return {
      stdout: Buffer.concat(parts.stdout).toString(),
      stderr: Buffer.concat(parts.stderr).toString(),
      exit,
    };
  }

  async until(isTrue: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
    const deadline = performance.now() + ms;
    while (!(await isTrue())) {
      if (performance.now() > deadline) throw new Error('it did not come about in time');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async stop(): Promise<void> {
    for (const container of [...this.containers].reverse()) await container.stop(500);
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function guestPath(name: string): string {
  return join(import.meta.dirname, '../../libs/dvos/dist/guest', `${name}.wasm`);
}
