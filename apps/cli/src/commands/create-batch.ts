import { readFile } from 'node:fs/promises';
import type { DrvmView, OperationView } from '@drvs/contracts';
import { Failure, usage } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';

/** As many as the API makes together. */
const BATCH_MAX = 500;
const FILE_BYTES_MAX = 4 << 20;

export interface Batch {
  tenant?: string;
  drvms: Record<string, unknown>[];
}

interface BatchItem {
  name: string;
  drvm: string;
  operation: string;
  state: OperationView['state'];
  nodes: string[];
  error: string | null;
}

/**
 * The requests of a file (`-` is standard input): a JSON array, or the body of the API, `{tenant, drvms}`.
 * @throws Failure WrongUsage
 */
export async function batchFrom(shell: Shell, file: string): Promise<Batch> {
  const bytes = file === '-' ? await shell.readStdin(FILE_BYTES_MAX) : await readFile(file).catch(() => null);
  if (bytes === null) throw usage(`${file} cannot be read`);
  return parseBatch(bytes.toString('utf8'), file);
}

export function parseBatch(text: string, file: string): Batch {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw usage(
      `${file} is not JSON: ${(error as Error).message}`,
      'Write [{"name": "a1", "cpu": 0.5, "memoryMiB": 256}].',
    );
  }
  const whole: Partial<Batch> = Array.isArray(value) ? { drvms: value } : ((value ?? {}) as Partial<Batch>);
  const { drvms, tenant } = whole;
  if (
    !Array.isArray(drvms) ||
    drvms.length === 0 ||
    drvms.some((one) => typeof one !== 'object' || one === null)
  )
    throw usage(`${file} holds no list of DRVMs`, 'Write [{"name": "a1", "cpu": 0.5, "memoryMiB": 256}].');
  requireBound(drvms.length);
  return { drvms: drvms as Batch['drvms'], ...(typeof tenant === 'string' ? { tenant } : {}) };
}

/** `aula` and 3: aula-1, aula-2, aula-3; with leading zeros where there are more than nine. */
export function numbered(
  name: string,
  count: number,
  body: Record<string, unknown>,
): Record<string, unknown>[] {
  requireBound(count);
  const digits = String(count).length;
  return Array.from({ length: count }, (_, at) => ({
    ...body,
    name: `${name}-${String(at + 1).padStart(digits, '0')}`,
  }));
}

function requireBound(count: number): void {
  if (count <= BATCH_MAX) return;
  throw usage(`${count} DRVMs are too many for once`, `At most ${BATCH_MAX} are made together.`);
}

/** All or none is accepted; then each comes up by an operation of its own, and what became of each is the answer. */
export async function createBatch(shell: Shell, batch: Batch, wait: boolean): Promise<void> {
  const client = await shell.client();
  const { items } = await client.post<{ items: { operationId: string; drvm: DrvmView }[] }>(
    '/drvms/batch',
    batch,
  );
  const progress = shell.progress();
  const results: BatchItem[] = [];
  try {
    for (const [at, { operationId, drvm }] of items.entries()) {
      progress.show(`${drvm.name}: ${at + 1} of ${items.length}`, at / items.length);
      const operation = wait ? await client.wait(operationId, {}) : { state: 'queued' as const, error: null };
      results.push({
        name: drvm.name,
        drvm: drvm.id,
        operation: operationId,
        state: operation.state,
        nodes: drvm.nodes.map(({ node }) => node),
        error: operation.error?.message ?? null,
      });
    }
  } finally {
    progress.clear();
  }
  shell.answer(results, renderItems);
  const failed = results.filter(({ state }) => wait && state !== 'succeeded');
  if (failed.length === 0) return;
  throw new Failure(
    'OperationFailed',
    `${failed.length} of ${results.length} did not come up: ${failed.map(({ name }) => name).join(', ')}`,
    {
      hint: 'See each with `drvs op show ID`. Those that came up stay.',
      details: { failed: failed.map(({ operation }) => operation) },
    },
  );
}

const renderItems = (items: readonly BatchItem[]): string =>
  renderTable(
    ['NAME', 'STATE', 'NODES', 'OPERATION', 'ERROR'],
    items.map(({ name, state, nodes, operation, error }) => [
      name,
      state,
      nodes.join(','),
      operation,
      error ?? '',
    ]),
  );
