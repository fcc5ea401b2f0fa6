import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import {
  type DrvmView,
  DrvsError,
  type EventView,
  type FileStat,
  type OperationView,
  type Page,
  type ProcessRow,
  withBody,
} from '@drvs/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AgentPeer, ContainerCall } from '../support/agent-peer.js';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let home: AgentPeer;
let token: string;
let member: string;
let auditor: string;
let stranger: string;

const rest = <T>(method: string, path: string, body?: unknown, as = token) =>
  cluster.rest<T>(as, method, path, body);
const url = (path: string) => `${api.url}/api/v1/${path}`;
const bearer = (as = token) => ({ authorization: `Bearer ${as}` });
const octets = { 'content-type': 'application/octet-stream' };

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  const physics = await cluster.tenant('physics');
  const chemistry = await cluster.tenant('chemistry');
  [token, member, auditor, stranger] = await Promise.all([
    cluster.token('tenant-admin', physics),
    cluster.token('member', physics),
    cluster.token('auditor', physics),
    cluster.token('tenant-admin', chemistry),
  ]);
  await cluster.node('node1');
  await cluster.node('node2');
  await until('both nodes have been heard', async () => {
    const nodes = await cluster.database.unrestricted.node.findMany();
    return nodes.every(({ lastSeenAt }) => lastSeenAt !== null);
  });
  const { operation } = await rest<{ operation: OperationView }>('POST', 'drvms', {
    name: 'fisica',
    cpu: 1,
    memoryMiB: 1024,
    diskGiB: 2,
    nodes: ['node1', 'node2'],
  });
  expect(await rest('GET', `operations/${operation.id}/wait?timeoutSeconds=20`)).toMatchObject({
    state: 'succeeded',
  });
  home = cluster.agents[0]!;
});
afterAll(async () => {
  cluster?.stop();
  await api?.stop();
  await postgres?.stop();
});

const row = (pid: number, state: ProcessRow['state'] = 'running'): ProcessRow => ({
  pid,
  ppid: 1,
  node: 'node1',
  state,
  cpuMs: 1,
  memoryBytes: 65_536,
  command: '/bin/pi',
  endpoint: 40,
  startedAt: '2026-11-24T00:00:00.000Z',
  exitCode: null,
  signal: null,
});

/** A file system of the peer that is enough to see what arrives. */
class Files {
  readonly content = new Map<string, Buffer>();
  pieces = 0;

  call: ContainerCall = (_, method, params, { body }) => {
    const { path } = params as { path: string };
    switch (method) {
      case 'file.write': {
        this.pieces++;
        const before = this.content.get(path) ?? Buffer.alloc(0);
        expect(params.offset).toBe(before.length);
        this.content.set(path, Buffer.concat([before, body]));
        return { size: before.length + body.length };
      }
      case 'file.read': {
        const bytes = this.#require(path);
        const { offset, length } = params as { offset: number; length: number };
        const piece = bytes.subarray(offset, offset + length);
        return withBody(
          { size: bytes.length, eof: offset + piece.length >= bytes.length },
          new Uint8Array(piece),
        );
      }
      case 'file.stat':
        return {
          path,
          kind: 'file',
          size: this.#require(path).length,
          mode: 0o644,
          modifiedAt: row(1).startedAt,
        };
      case 'file.rename': {
        const { from, to } = params as { from: string; to: string };
        this.content.set(to, this.#require(from));
        this.content.delete(from);
        return {};
      }
      case 'file.remove':
        this.content.delete(path);
        return {};
      case 'file.makeDirectory':
        this.content.set(path, Buffer.alloc(0));
        return {};
      case 'file.list':
        return [...this.content].map(([name, bytes]) => ({
          path: name,
          kind: 'file',
          size: bytes.length,
          mode: 420,
          modifiedAt: row(1).startedAt,
        }));
      default:
        throw new DrvsError('NotFound', method);
    }
  };

  #require(path: string): Buffer {
    const bytes = this.content.get(path);
    if (!bytes) throw new DrvsError('NotFound', `${path} does not exist`);
    return bytes;
  }
}

describe('processes', () => {
  test('are listed, shown, started and killed', async () => {
    const calls: unknown[] = [];
    home.containerCall = (_, method, params) => {
      calls.push([method, params]);
      if (method === 'process.list') return [row(1), row(12)];
      if (method === 'process.start') return { pid: 12, node: 'node2' };
      return { pid: 12, signal: 'SIGKILL' };
    };
    expect(
      (await rest<Page<ProcessRow>>('GET', 'drvms/fisica/processes', undefined, member)).items,
    ).toHaveLength(2);
    expect(await rest('GET', 'drvms/fisica/processes/12')).toMatchObject({ pid: 12 });
    await expect(rest('GET', 'drvms/fisica/processes/99')).rejects.toMatchObject({ code: 'NotFound' });
    expect(await rest('POST', 'drvms/fisica/processes', { program: '/bin/pi', args: ['9'] }, member)).toEqual(
      {
        pid: 12,
        node: 'node2',
      },
    );
    expect(calls).toContainEqual([
      'process.start',
      expect.objectContaining({ program: '/bin/pi', args: ['9'], stdinPath: null }),
    ]);
    expect(await rest('POST', 'drvms/fisica/processes/12/kill', { signal: 'KILL' }, member)).toEqual({
      pid: 12,
      signal: 'SIGKILL',
    });
    await expect(rest('POST', 'drvms/fisica/processes', { program: '' })).rejects.toMatchObject({
      code: 'InvalidInput',
    });
    await expect(rest('POST', 'drvms/fisica/processes/12/kill', {}, auditor)).rejects.toMatchObject({
      code: 'NotAllowed',
    });
    await expect(rest('GET', 'drvms/fisica/processes', undefined, stranger)).rejects.toMatchObject({
      code: 'NotFound',
    });
  });

  test('the end of one is waited for, and a wait that is over answers 204', async () => {
    let aborted = false;
    home.containerCall = async (_, method, params, { signal }) => {
      expect(method).toBe('process.wait');
      if (params.pid === 12) return { exitCode: 130, signal: 'SIGINT', reason: null };
      await once(signal, 'abort');
      aborted = true;
      return null;
    };
    expect(await rest('GET', 'drvms/fisica/processes/12/wait')).toEqual({
      exitCode: 130,
      signal: 'SIGINT',
      reason: null,
    });
    const response = await fetch(url('drvms/fisica/processes/13/wait?timeoutSeconds=0.2'), {
      headers: bearer(),
    });
    expect(response.status).toBe(204);
    await until('the call in the container has been given up', () => aborted);
  });

  test('output comes in lines as it is written, and a client that goes away ends it', async () => {
    let hasEnded = false;
    home.containerCall = async (_, __, params, context) => {
      await context.chunk({ stream: 'stdout', offset: 0 }, Buffer.from('one\n'));
      if (!params.follow) return { nextOffset: 4, lost: 0, exit: null };
      await once(context.signal, 'abort');
      hasEnded = true;
      return { nextOffset: 4, lost: 0, exit: null };
    };
    const whole = await fetch(url('drvms/fisica/processes/12/output'), { headers: bearer() });
    expect(whole.headers.get('content-type')).toBe('application/x-ndjson');
    expect(
      (await whole.text())
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { stream: 'stdout', offset: 0, base64: Buffer.from('one\n').toString('base64') },
      { exit: null, nextOffset: 4, lost: 0 },
    ]);
    const stop = new AbortController();
    const following = await fetch(url('drvms/fisica/processes/12/output?follow=true'), {
      headers: bearer(),
      signal: stop.signal,
    });
    const { value } = await following.body!.getReader().read();
    expect(JSON.parse(Buffer.from(value!).toString())).toMatchObject({ stream: 'stdout' });
    stop.abort();
    await until('the stream in the container has ended', () => hasEnded);
  });

  test('a writer waits for a reader that does not read', async () => {
    let sent = 0;
    home.containerCall = async (_, __, ___, context) => {
      for (; sent < 400; sent++)
        await context.chunk({ stream: 'stdout', offset: sent * 65_536 }, Buffer.alloc(65_536));
      return { nextOffset: sent * 65_536, lost: 0, exit: null };
    };
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `GET /api/v1/drvms/fisica/processes/12/output?follow=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    socket.pause();
    await until('the first pieces are sent', () => sent > 1);
    let before = -1;
    await until('the writer stands still', async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      const stands = sent === before;
      before = sent;
      return stands;
    });
    expect(sent).toBeLessThan(400);
    socket.resume();
    await until('all is sent', () => sent === 400);
    socket.destroy();
  });

  test('a migration is an operation; a second one of the same process is refused meanwhile', async () => {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    home.containerCall = async (_, method, params) => {
      if (method === 'process.list') return [row(12), row(13, 'zombie')];
      await released;
      return { pid: 12, from: 'node1', to: params.to, bytes: 1, pauseMs: 1, totalMs: 1, rounds: 1 };
    };
    const operation = await rest<OperationView>(
      'POST',
      'drvms/fisica/processes/12/migrate',
      { to: 'node2' },
      member,
    );
    expect(operation).toMatchObject({ kind: 'process.migrate', subject: 'drvm/fisica/pid/12' });
    await expect(rest('POST', 'drvms/fisica/processes/12/migrate', { to: 'node2' })).rejects.toMatchObject({
      code: 'MigrationUnderWay',
    });
    await expect(rest('POST', 'drvms/fisica/processes/12/migrate', { to: 'node9' })).rejects.toMatchObject({
      code: 'InvalidInput',
      field: 'to',
    });
    await expect(rest('POST', 'drvms/fisica/processes/13/migrate', { to: 'node2' })).rejects.toMatchObject({
      code: 'StateConflict',
    });
    release();
    expect(await rest('GET', `operations/${operation.id}/wait`)).toMatchObject({
      state: 'succeeded',
      result: { from: 'node1', to: 'node2' },
    });
  });
});

describe('files', () => {
  let files: Files;
  beforeEach(() => {
    files = new Files();
    home.containerCall = files.call;
  });
  const put = (path: string, body: string | Uint8Array<ArrayBuffer>, as = token) =>
    fetch(url(`drvms/fisica/files/content?path=${encodeURIComponent(path)}&parents=true&mode=755`), {
      method: 'PUT',
      headers: { ...bearer(as), ...octets },
      body,
    });

  test('go up and come down whole, in pieces', async () => {
    const bytes = randomBytes(3_500_000);
    const response = await put('/tmp/run/big', bytes, member);
    expect(await response.json()).toMatchObject({ path: '/tmp/run/big', size: bytes.length });
    expect(files.pieces).toBe(4);
    expect([...files.content.keys()]).toEqual(['/tmp/run/big']);
    const down = await fetch(url('drvms/fisica/files/content?path=/tmp/run/big'), { headers: bearer() });
    const sha = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
    expect(sha(new Uint8Array(await down.arrayBuffer()))).toBe(sha(bytes));
    expect((await put('/tmp/empty', new Uint8Array(0))).status).toBe(200);
    expect(files.content.get('/tmp/empty')).toEqual(Buffer.alloc(0));
  });

  test('an upload that breaks off leaves nothing, and the old file as it was', async () => {
    files.content.set('/tmp/old', Buffer.from('old'));
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `PUT /api/v1/drvms/fisica/files/content?path=/tmp/old HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n` +
        'Content-Type: application/octet-stream\r\nContent-Length: 9000000\r\n\r\n',
    );
    socket.write(Buffer.alloc(2_000_000));
    await until('a part has arrived', () => files.pieces > 0);
    socket.destroy();
    await until('the part is removed', () => files.content.size === 1);
    expect(files.content.get('/tmp/old')?.toString()).toBe('old');
  });

  test('what is larger than the disk is refused before it is sent', async () => {
    const response = await fetch(url('drvms/fisica/files/content?path=/tmp/huge'), {
      method: 'PUT',
      headers: { ...bearer(), ...octets, 'content-length': String(2 ** 40) },
      body: new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }),
      duplex: 'half',
    } as RequestInit).then(
      ({ status }) => status,
      () => 'closed',
    );
    expect([413, 'closed']).toContain(response);
    expect(files.content.size).toBe(0);
  });

  test('are listed, looked at, moved and removed, and errors say what is wrong', async () => {
    await rest('POST', 'drvms/fisica/files/directories', { path: '/data', parents: true });
    await put('/data/a', 'hello');
    expect((await rest<Page<FileStat>>('GET', 'drvms/fisica/files?path=/data&list=true')).items).toHaveLength(
      2,
    );
    expect(await rest('GET', 'drvms/fisica/files?path=/data/a&stat=true')).toMatchObject({ size: 5 });
    await rest('POST', 'drvms/fisica/files/rename', { from: '/data/a', to: '/data/b' });
    await expect(rest('GET', 'drvms/fisica/files?path=/data/a&stat=true')).rejects.toMatchObject({
      code: 'NotFound',
    });
    await rest('DELETE', 'drvms/fisica/files?path=/data/b');
    expect(files.content.has('/data/b')).toBe(false);
    await expect(rest('GET', 'drvms/fisica/files?path=data&stat=true')).rejects.toMatchObject({
      code: 'InvalidInput',
      field: 'path',
    });
    await expect(rest('DELETE', 'drvms/fisica/files?path=/data', undefined, auditor)).rejects.toMatchObject({
      code: 'NotAllowed',
    });
    const json = await fetch(url('drvms/fisica/files/content?path=/x'), {
      method: 'PUT',
      headers: { ...bearer(), 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await json.json()).toMatchObject({ code: 'InvalidInput', field: 'Content-Type' });
    const missing = await fetch(url('drvms/fisica/files/content?path=/nowhere'), { headers: bearer() });
    expect(missing.status).toBe(404);
  });
});

describe('the stream of events', () => {
  test('comes as server-sent events, and goes on after the last one seen', async () => {
    const stop = new AbortController();
    const read = async (headers: Record<string, string>, enough: string) => {
      const response = await fetch(url('events'), {
        headers: { ...bearer(), accept: 'text/event-stream', ...headers },
        signal: stop.signal,
      });
      expect(response.headers.get('content-type')).toBe('text/event-stream');
      let text = '';
      for await (const chunk of response.body!) {
        text += Buffer.from(chunk).toString();
        if (text.includes(enough)) break;
      }
      return text;
    };
    const tell = (text: string) =>
      cluster.database.unrestricted.event.create({
        data: { kind: 'test', text, tenantId: tenantOf, tenant: 'physics' },
      });
    const tenantOf = (await cluster.database.unrestricted.tenant.findUnique({ where: { name: 'physics' } }))!
      .id;
    const first = await tell('one');
    const reading = read({ 'last-event-id': String(first.id) }, '"three"');
    await tell('two');
    await tell('three');
    const text = await reading;
    expect(text).not.toContain('"one"');
    expect(text.indexOf('"two"')).toBeGreaterThan(0);
    expect(text.indexOf('"three"')).toBeGreaterThan(text.indexOf('"two"'));
    stop.abort();
    const page = await rest<Page<EventView>>('GET', `events?since=${first.id}&limit=1`);
    expect(page.items.map(({ text: said }) => said)).toEqual(['two']);
    const next = await rest<Page<EventView>>(
      'GET',
      `events?since=${first.id}&limit=1&cursor=${page.nextCursor}`,
    );
    expect(next).toMatchObject({ items: [{ text: 'three' }], nextCursor: null });
    const newest = await rest<Page<EventView>>('GET', 'events?order=newest&limit=2');
    expect(newest.items.map(({ text: said }) => said)).toEqual(['three', 'two']);
    const before = await rest<Page<EventView>>('GET', `events?order=newest&cursor=${newest.nextCursor}`);
    expect(before.items[0]?.text).toBe('one');
    expect((await rest<Page<EventView>>('GET', 'events', undefined, stranger)).items).toEqual([]);
  });
});

describe('a DRVM that is stopped', () => {
  test('has no processes or files to show, and says what to do', async () => {
    const operation = await rest<OperationView>('POST', 'drvms/fisica/stop');
    expect(await rest('GET', `operations/${operation.id}/wait`)).toMatchObject({ state: 'succeeded' });
    await expect(rest('GET', 'drvms/fisica/processes')).rejects.toMatchObject({
      code: 'StateConflict',
      hint: 'Start it first: drvs drvm start fisica',
    });
    await expect(rest('GET', 'drvms/fisica/files?path=/&list=true')).rejects.toMatchObject({
      code: 'StateConflict',
    });
    expect((await rest<DrvmView>('GET', 'drvms/fisica')).state).toBe('stopped');
  });
});
