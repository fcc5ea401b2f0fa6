import type { DrvmView, NodeView, ProcessRow } from '@drvs/contracts';
import type { Command } from 'commander';
import { sleep } from '../api/client.js';
import { drvmPath } from '../api/drvm-path.js';
import { renderTable } from '../output/table.js';
import { formatBytes, formatCpu, formatMiB, formatMs } from '../quantities.js';
import type { Shell } from '../shell.js';

const REFRESH_MS = 2_000;

interface Snapshot {
  at: string;
  nodes: NodeView[];
  processes: (ProcessRow & { drvm: string })[];
}

export function registerTop(program: Command, shell: Shell): void {
  program
    .command('top')
    .description('live use by node and process; one picture with --json or --once')
    .argument('[drvm]')
    .option('--once', 'one picture')
    .action(async (drvm: string | undefined, options: { once?: boolean }) => {
      const isLive = shell.stdout.isTTY === true && !shell.isJson && !options.once;
      if (!isLive)
        return shell.answer(await look(drvm), (snapshot) => render(snapshot, null, Number.POSITIVE_INFINITY));
      let before: Snapshot | null = null;
      for (;;) {
        const snapshot = await look(drvm);
        const rows = shell.stdout.rows ?? 24;
        // Home, picture, erase the rest: no flicker.
        shell.out(`\x1b[H${render(snapshot, before, rows).replaceAll('\n', '\x1b[K\n')}\x1b[J`);
        before = snapshot;
        await sleep(REFRESH_MS);
      }
    });

  async function look(only: string | undefined): Promise<Snapshot> {
    const client = await shell.client();
    const [nodes, drvms] = await Promise.all([
      client.list<NodeView>('/nodes'),
      only === undefined
        ? client.list<DrvmView>('/drvms')
        : client.get<DrvmView>(drvmPath(only)).then((view) => [view]),
    ]);
    const processes: Snapshot['processes'] = [];
    for (const { id, name, state } of drvms) {
      if (state !== 'running' && state !== 'degraded') continue;
      try {
        const rows = await client.list<ProcessRow>(`${drvmPath(id)}/processes`);
        processes.push(...rows.map((row) => ({ ...row, drvm: name })));
      } catch (error) {
        if (only !== undefined) throw error; // Of many, one that does not answer must not hide the others.
      }
    }
    const isShown = new Set(drvms.flatMap((view) => view.nodes.map(({ node }) => node)));
    return {
      at: new Date().toISOString(),
      nodes: only === undefined ? nodes : nodes.filter(({ name }) => isShown.has(name)),
      processes,
    };
  }
}

function render(snapshot: Snapshot, before: Snapshot | null, rows: number): string {
  const nodes = renderTable(
    ['NODE', 'STATE', 'CPU', 'MEMORY'],
    snapshot.nodes.map(({ name, state, used, capacity }) => [
      name,
      state,
      `${formatCpu(used.cpu)}/${formatCpu(capacity.cpu)}`,
      `${formatMiB(used.memoryMiB)}/${formatMiB(capacity.memoryMiB)}`,
    ]),
  );
  const elapsedMs = before === null ? 0 : Date.parse(snapshot.at) - Date.parse(before.at);
  const keyOf = ({ drvm, pid, startedAt }: Snapshot['processes'][number]): string =>
    `${drvm} ${pid} ${startedAt}`;
  const earlier = new Map(before?.processes.map((row) => [keyOf(row), row.cpuMs]));
  const withShare = snapshot.processes.map((row) => {
    const was = earlier.get(keyOf(row));
    return {
      row,
      share: was === undefined || elapsedMs <= 0 ? null : Math.max(0, (row.cpuMs - was) / elapsedMs),
    };
  });
  withShare.sort(
    (a, b) => (b.share ?? 0) - (a.share ?? 0) || b.row.cpuMs - a.row.cpuMs || a.row.pid - b.row.pid,
  );
  const room = Math.max(3, rows - snapshot.nodes.length - 5);
  return `${snapshot.at}\n\n${nodes}\n${renderTable(
    ['DRVM', 'PID', 'NODE', 'STATE', '%CPU', 'TIME', 'MEMORY', 'COMMAND'],
    withShare
      .slice(0, room)
      .map(({ row, share }) => [
        row.drvm,
        String(row.pid),
        row.node,
        row.state,
        share === null ? '-' : (share * 100).toFixed(1),
        formatMs(row.cpuMs),
        formatBytes(row.memoryBytes),
        row.command,
      ]),
  )}`;
}
