import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import type { Trace, TraceOptions } from '@drvs/policy';
import { Failure } from '../failure.js';

/** Reads a trace from a file, line by line; one that ends in `.gz` is unpacked as it is read. */
export async function readTrace(path: string, options: TraceOptions): Promise<Trace> {
  const { TraceReader } = await import('@drvs/policy');
  const reader = new TraceReader(options);
  const file = createReadStream(path);
  const input = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
  // readline does not hand on the errors of what it reads.
  const failed = new Promise<never>((_, reject) => {
    for (const stream of [file, input]) {
      stream.once('error', (error: Error) =>
        reject(
          new Failure('NotFound', `the trace ${path} cannot be read: ${error.message}`, { field: 'trace' }),
        ),
      );
    }
  });
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    const read = (async () => {
      for await (const line of lines) reader.line(line);
    })();
    await Promise.race([read, failed]);
  } finally {
    lines.close();
    file.destroy();
  }
  return reader.end();
}
