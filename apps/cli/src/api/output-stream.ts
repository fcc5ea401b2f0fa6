/**
 * Follows the output of a process from a byte offset, over restarts of the API: each answer is NDJSON lines
 * {stream, offset, base64} and a last {exit, nextOffset, lost}; after a break it goes on at the offset reached, so that
 * nothing is lost and nothing is said twice.
 */
import type { ExitStatus } from '@drvs/contracts';
import { Failure } from '../failure.js';
import { type ApiClient, FOLLOW_RETRY_MS, isNodeAway, isPassing, sleep } from './client.js';

export interface OutputSink {
  /** Resolves when there is room for more. */
  write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void>;
}

export interface OutputEnd {
  exit: ExitStatus | null;
  nextOffset: number;
  /** Bytes that were no longer kept when they were asked for. */
  lost: number;
}

type Line =
  | { stream: 'stdout' | 'stderr'; offset: number; base64: string }
  | { exit: ExitStatus | null; nextOffset: number; lost: number };

/** A line longer than this is not one of ours: chunks are far smaller. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;
const RECONNECT_PAUSE_MS = 200;
/** A node that is away this long takes the processes with it; until then its output may go on. */
const AWAY_MS = 60_000;

export async function followOutput(
  client: ApiClient,
  path: string,
  sink: OutputSink,
  {
    offset = 0,
    follow,
    signal,
    onBreak,
  }: { offset?: number; follow: boolean; signal?: AbortSignal; onBreak?: (reason: string) => void },
): Promise<OutputEnd> {
  let next = offset;
  let lost = 0;
  let lastByteAt = performance.now();
  for (;;) {
    try {
      const response = await client.open('GET', path, {
        query: { offset: next, follow },
        signal,
        headers: { accept: 'application/x-ndjson' },
        retryMs: follow ? FOLLOW_RETRY_MS : undefined,
      });
      for await (const line of linesOf(response.body)) {
        lastByteAt = performance.now();
        const value = parseLine(line);
        if (value === null) continue;
        if ('stream' in value) {
          const bytes = Buffer.from(value.base64, 'base64');
          // Sent again after a break: only what is new. Beyond what was expected: the part between is no longer kept.
          const known = Math.max(0, next - value.offset);
          if (value.offset > next) lost += value.offset - next;
          if (known < bytes.length) await sink.write(value.stream, bytes.subarray(known));
          next = Math.max(next, value.offset + bytes.length);
        } else {
          if (value.exit === null && follow) break;
          return {
            exit: value.exit,
            nextOffset: Math.max(next, value.nextOffset),
            lost: Math.max(lost, value.lost),
          };
        }
      }
      if (!follow) return { exit: null, nextOffset: next, lost };
      onBreak?.('the stream ended before the process did');
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPassing(error) && !(follow && isNodeAway(error) && performance.now() - lastByteAt < AWAY_MS))
        throw error;
      onBreak?.((error as Error).message);
    }
    if (performance.now() - lastByteAt > FOLLOW_RETRY_MS) {
      throw new Failure('ApiUnreachable', 'the output could not be followed any longer', {
        hint: 'The process goes on. When the API is back: `drvs logs DRVM PID --follow`.',
      });
    }
    await sleep(RECONNECT_PAUSE_MS, signal);
  }
}

/** null for an empty line (sent to keep the connection open) or one that a break cut off. */
function parseLine(line: string): Line | null {
  if (line.trim() === '') return null;
  try {
    return JSON.parse(line) as Line;
  } catch {
    return null;
  }
}

export async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n')) {
      yield rest.slice(0, at);
      rest = rest.slice(at + 1);
    }
    if (rest.length > LINE_BYTES_MAX) throw new Failure('NotDrvs', 'the answer holds a line without end');
  }
  // What is left was cut off: it is asked for again.
}
