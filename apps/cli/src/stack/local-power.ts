/**
 * Takes orders to stop and start the agents of this stack, from the API of this stack: what a management controller is
 * for a machine, this is for a node that is a process. A Unix socket that only its owner may open; one line each way.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOCAL_POWER_LINE_MAX_BYTES, type LocalPowerAnswer, LocalPowerRequest } from '@drvs/contracts';
import { z } from 'zod';
import { type DataFolder, writeDurably } from './data-folder.js';

/** sockaddr_un holds 108 bytes with the final zero, see unix(7). */
const SOCKET_PATH_MAX_BYTES = 107;

export function localPowerSocket(folder: DataFolder): string {
  const path = join(folder.root, 'power.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES) return path;
  const name = createHash('sha256').update(folder.root).digest('hex').slice(0, 16);
  return join(tmpdir(), `drvs-${process.getuid?.() ?? 0}-${name}.sock`);
}

const OffFile = z.object({ off: z.array(z.string()) });
const offFile = (folder: DataFolder): string => join(folder.root, 'power.json');

/** Nodes that were switched off: they stay so when the stack is stopped and started. */
export function readSwitchedOff(folder: DataFolder): Set<string> {
  try {
    return new Set(OffFile.parse(JSON.parse(readFileSync(offFile(folder), 'utf8'))).off);
  } catch {
    return new Set();
  }
}

export const writeSwitchedOff = (folder: DataFolder, names: Iterable<string>): Promise<void> =>
  writeDurably(offFile(folder), `${JSON.stringify({ off: [...names].sort() })}\n`, 0o644);

/** What the supervisor can do with its agents. */
export interface LocalNodes {
  names(): string[];
  /** @throws Error when there is no such node, or it cannot be done */
  status(node: string): { power: 'on' | 'off'; detail: string };
  switch(node: string, power: 'on' | 'off'): Promise<void>;
}

export class LocalPowerServer {
  private constructor(
    private readonly server: Server,
    private readonly path: string,
    private readonly open: Set<Socket>,
  ) {}

  static async listen(
    path: string,
    nodes: LocalNodes,
    say: (text: string) => void,
  ): Promise<LocalPowerServer> {
    // Only one supervisor looks after a folder: what lies there is left from one that was killed.
    await rm(path, { force: true });
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      socket.on('error', () => socket.destroy());
      serve(socket, nodes);
    });
    const before = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
      });
    } finally {
      process.umask(before);
    }
    await chmod(path, 0o600);
    server.on('error', (error) => say(`power: ${error.message}`));
    return new LocalPowerServer(server, path, open);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.open) socket.destroy();
    await closed;
    await rm(this.path, { force: true });
  }
}

function serve(socket: Socket, nodes: LocalNodes): void {
  let text = '';
  let isAnswered = false;
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (isAnswered) return;
    if (text.length > LOCAL_POWER_LINE_MAX_BYTES) return void socket.destroy();
    const end = text.indexOf('\n');
    if (end < 0) return;
    isAnswered = true;
    answer(text.slice(0, end), nodes)
      .catch((error: unknown): LocalPowerAnswer => ({ error: (error as Error).message }))
      .then((said) => socket.end(`${JSON.stringify(said)}\n`));
  });
}

async function answer(line: string, nodes: LocalNodes): Promise<LocalPowerAnswer> {
  const request = LocalPowerRequest.parse(JSON.parse(line));
  if (request.do === 'list') {
    return { nodes: nodes.names().map((name) => ({ name, power: nodes.status(name).power })) };
  }
  const { node } = request;
  if (node === undefined) throw new Error(`${request.do} needs the name of a node`);
  if (request.do !== 'status') await nodes.switch(node, request.do);
  return nodes.status(node);
}
