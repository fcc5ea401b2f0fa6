#!/usr/bin/env node
// The loader as a process of its own, so that it can be given limits: a module on standard input, the instrumented
// module on standard output. A refusal is an ErrorBody as JSON on standard error, with exit code 1.
import { readFileSync, writeSync } from 'node:fs';
import { DrvsError } from '@drvs/contracts';
import { instrument } from './instrument.js';

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      // A pipe that was opened non-blocking and is full: the reader will make room.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

try {
  const { module } = instrument(readFileSync(0));
  writeAll(1, module);
} catch (thrown) {
  writeAll(2, new TextEncoder().encode(`${JSON.stringify(DrvsError.from(thrown).toBody())}\n`));
  process.exitCode = 1;
}
