import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { readJson, writeDurably } from '@drvs/drvmm-core/storage';
import { z } from 'zod';

/** What enrolment gave; kept with mode 0600. */
export const Credential = z.object({ nodeId: z.string(), nodeName: z.string(), credential: z.string() });
export type Credential = z.infer<typeof Credential>;

/**
 * The agent's folder, held by one agent at a time.
 *
 *     credential.json   node id and credential
 *     agent.json        the process that holds the folder
 *     drvms/            one folder per DRVM
 *     modules/          instrumented programs
 *     devices.json      files of devices that containers own now, and whose they were before
 */
export class DataFolder {
  private constructor(
    /** Absolute, links resolved: containers are found by it. */
    readonly path: string,
    private readonly lock: Server,
  ) {}

  /** @throws DrvsError StateConflict when another agent holds it. */
  static async open(path: string): Promise<DataFolder> {
    try {
      mkdirSync(path, { recursive: true, mode: 0o711 });
    } catch (error) {
      throw new DrvsError('InvalidInput', `the data folder cannot be made: ${(error as Error).message}`, {
        field: 'DRVS_DATA',
        hint: 'Name a folder that this user can write.',
      });
    }
    const resolved = realpathSync(path);
    const lock = await takeLock(resolved);
    chmodSync(resolved, 0o711);
    writeDurably(
      join(resolved, 'agent.json'),
      JSON.stringify({ pid: process.pid, startedAt: new Date().toISOString() }),
      { mode: 0o644 },
    );
    return new DataFolder(resolved, lock);
  }

  get drvms(): string {
    return join(this.path, 'drvms');
  }

  get devices(): string {
    return join(this.path, 'devices.json');
  }

  get modules(): string {
    return join(this.path, 'modules');
  }

  /** Of this agent among all agents of the host: names its part of the control groups. */
  scope(nodeName: string): string {
    return `${nodeName}-${hashOf(this.path).slice(0, 8)}`;
  }

  credential(): Credential | null {
    return readJson(join(this.path, 'credential.json'), Credential);
  }

  setCredential(credential: Credential): void {
    writeDurably(join(this.path, 'credential.json'), JSON.stringify(credential));
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.lock.close(resolve));
  }
}

const hashOf = (path: string): string => createHash('sha256').update(path).digest('hex');

/**
 * The lock is a socket in Linux's abstract namespace (unix(7)): it is taken in one step, leaves no file behind, and is
 * gone with the process that holds it, however that ends.
 */
function takeLock(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error);
      reject(
        new DrvsError('StateConflict', `another agent${holder(path)} uses the data folder ${path}`, {
          hint: 'Stop that agent, or give this one another folder with DRVS_DATA.',
        }),
      );
    });
    server.listen({ path: `\0drvs-agent-${hashOf(path)}` }, () => {
      server.unref();
      resolve(server);
    });
  });
}

function holder(path: string): string {
  try {
    const { pid } = JSON.parse(readFileSync(join(path, 'agent.json'), 'utf8')) as { pid: number };
    return ` (process ${pid})`;
  } catch {
    return '';
  }
}
