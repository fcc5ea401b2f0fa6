import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { NodeCheck, NodeCheckItem } from '@drvs/contracts';

/** Short enough for a heartbeat not to be missed: each part gives the event loop back often. */
const CPU_ROUNDS = 16;
const CPU_ROUND_BYTES = 1 << 20;
const MEMORY_BLOCKS = 32;
const MEMORY_BLOCK_BYTES = 1 << 20;
const DISK_BYTES = 8 << 20;
/** The wall clock may run so much apart from the steady one during the check. */
const CLOCK_APART_MAX_MS = 1_000;
/** SHA-256 of one round's pattern (the bytes 0 to 255, over and over), as every correct CPU computes it. */
const PATTERN_SHA256 = 'fbbab289f7f94b25736c58be46a994c441fd02552cc6022352e3d86d2fab7c83';

export interface Clocks {
  wallMs(): number;
  steadyMs(): number;
}
const HOST_CLOCKS: Clocks = { wallMs: () => Date.now(), steadyMs: () => performance.now() };

/**
 * The burn-in check of a node: computes, fills and reads back memory, writes and reads back a file on the disk that
 * will hold the DRVMs' files, and watches the clock meanwhile. What is wrong fails; what is slow is told in figures, and
 * judged by whoever reads them.
 *
 * @param folder is on that disk; nothing is left in it
 */
export async function checkNode(folder: string, clocks: Clocks = HOST_CLOCKS): Promise<NodeCheck> {
  const wall = clocks.wallMs();
  const steady = clocks.steadyMs();
  const items = [await checkCpu(clocks), await checkMemory(clocks), checkDisk(folder, clocks)];
  const tookMs = clocks.steadyMs() - steady;
  items.push(checkClock(clocks.wallMs() - wall, tookMs));
  return { at: new Date(wall).toISOString(), items, tookMs: Math.round(tookMs) };
}

async function checkCpu(clocks: Clocks): Promise<NodeCheckItem> {
  const pattern = countingPattern();
  const begun = clocks.steadyMs();
  let wrong = 0;
  for (let round = 0; round < CPU_ROUNDS; round++) {
    if (createHash('sha256').update(pattern).digest('hex') !== PATTERN_SHA256) wrong++;
    await pause(0);
  }
  const mibPerSecond = perSecond((CPU_ROUNDS * CPU_ROUND_BYTES) / (1 << 20), clocks.steadyMs() - begun);
  return {
    name: 'cpu',
    passed: wrong === 0,
    detail:
      wrong === 0
        ? `${CPU_ROUNDS} digests computed, all of them right`
        : `${wrong} of ${CPU_ROUNDS} digests came out wrong`,
    figures: { mibPerSecond, wrong },
  };
}

async function checkMemory(clocks: Clocks): Promise<NodeCheckItem> {
  const begun = clocks.steadyMs();
  const seeds = randomBytes(MEMORY_BLOCKS);
  const blocks: Buffer[] = [];
  for (const seed of seeds) {
    blocks.push(Buffer.alloc(MEMORY_BLOCK_BYTES, seed));
    await pause(0);
  }
  let wrong = 0;
  for (const [place, block] of blocks.entries()) {
    if (!block.equals(Buffer.alloc(MEMORY_BLOCK_BYTES, seeds[place]))) wrong++;
    await pause(0);
  }
  return {
    name: 'memory',
    passed: wrong === 0,
    detail:
      wrong === 0
        ? `${MEMORY_BLOCKS} MiB filled and read back as written`
        : `${wrong} of ${MEMORY_BLOCKS} MiB did not keep what was written`,
    figures: { mibPerSecond: perSecond(MEMORY_BLOCKS, clocks.steadyMs() - begun), wrong },
  };
}

function checkDisk(folder: string, clocks: Clocks): NodeCheckItem {
  const path = join(folder, `check-${process.pid}-${randomBytes(4).toString('hex')}`);
  const written = randomBytes(DISK_BYTES);
  const begun = clocks.steadyMs();
  try {
    const file = openSync(path, 'wx', 0o600);
    try {
      for (let at = 0; at < written.length; ) at += writeSync(file, written, at);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    const mibPerSecond = perSecond(DISK_BYTES / (1 << 20), clocks.steadyMs() - begun);
    const passed = readFileSync(path).equals(written);
    const detail = passed
      ? `${DISK_BYTES >> 20} MiB written durably and read back`
      : 'what was read back is not what was written';
    return { name: 'disk', passed, detail, figures: { mibPerSecond } };
  } catch (error) {
    return { name: 'disk', passed: false, detail: (error as Error).message, figures: {} };
  } finally {
    rmSync(path, { force: true });
  }
}

function checkClock(wallMs: number, steadyMs: number): NodeCheckItem {
  const apartMs = Math.round(Math.abs(wallMs - steadyMs));
  const passed = apartMs <= CLOCK_APART_MAX_MS;
  return {
    name: 'clock',
    passed,
    detail: passed
      ? 'it ran steadily'
      : `it jumped: ${Math.round(wallMs)} ms passed on it, ${Math.round(steadyMs)} ms in truth`,
    figures: { apartMs },
  };
}

function countingPattern(): Buffer {
  const pattern = Buffer.alloc(CPU_ROUND_BYTES);
  for (let at = 0; at < pattern.length; at++) pattern[at] = at & 0xff;
  return pattern;
}

const perSecond = (amount: number, ms: number): number => (ms <= 0 ? 0 : Math.round((amount * 1_000) / ms));
