import type { MigrationResult, OperationView, ProcessRow } from '@drvs/contracts';
import { type Command, InvalidArgumentError } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { followOutput } from '../api/output-stream.js';
import { Exit } from '../failure.js';
import { formatBytes, formatMs } from '../quantities.js';
import type { Shell } from '../shell.js';
import { noWait } from './no-wait.js';
import { sinkOf } from './run.js';

function parsePid(text: string): number {
  const pid = Number(text);
  if (!/^\d+$/.test(text) || pid < 1 || !Number.isSafeInteger(pid))
    throw new InvalidArgumentError('It is not a pid.');
  return pid;
}

export function registerProcess(program: Command, shell: Shell): void {
  const path = (drvm: string, pid: number): string => `${drvmPath(drvm)}/processes/${pid}`;

  program
    .command('ps')
    .description('the processes of a DRVM, on all its nodes')
    .argument('<drvm>')
    .action(async (drvm: string) => {
      const rows = await (await shell.client()).list<ProcessRow>(`${drvmPath(drvm)}/processes`);
      shell.table(rows, PROCESS_COLUMNS, 'no processes');
    });

  program
    .command('kill')
    .description('send a signal to a process, wherever it is')
    .argument('<drvm>')
    .argument('<pid>', 'its number in `drvs ps`', parsePid)
    .argument('[signal]', 'a name or a number', 'SIGTERM')
    .action(async (drvm: string, pid: number, signal: string) => {
      const answer = await (await shell.client()).post<{ pid: number; signal: string }>(
        `${path(drvm, pid)}/kill`,
        {
          signal,
        },
      );
      shell.answer(
        { ...answer, pid, signal: answer?.signal ?? signal },
        (sent) => `${sent.signal} sent to ${pid}\n`,
      );
    });

  program
    .command('migrate')
    .description('move a running process to another node of its DRVM')
    .argument('<drvm>')
    .argument('<pid>', 'its number in `drvs ps`', parsePid)
    .requiredOption('--to <node>', 'where it goes on')
    .addOption(noWait())
    .action(async (drvm: string, pid: number, options: { to: string; wait: boolean }) => {
      const client = await shell.client();
      const operation = await client.post<OperationView>(`${path(drvm, pid)}/migrate`, { to: options.to });
      const ended = await shell.ended(operation, options.wait);
      if (ended) shell.answer(ended.result as MigrationResult, renderMigration);
    });

  program
    .command('logs')
    .description('the output kept of a program')
    .argument('<drvm>')
    .argument('<pid>', 'its number in `drvs ps`', parsePid)
    .option('-f, --follow', 'go on until it ends')
    .action(async (drvm: string, pid: number, options: { follow?: boolean }) => {
      const client = await shell.client();
      const sink = shell.isJson ? collecting() : sinkOf(shell);
      const end = await followOutput(client, `${path(drvm, pid)}/output`, sink, {
        follow: options.follow === true,
      });
      if (end.lost > 0 && !shell.isJson) shell.note(`drvs: the first ${end.lost} bytes are no longer kept`);
      if (shell.isJson) {
        const { text } = sink as ReturnType<typeof collecting>;
        shell.answer({ pid, stdout: text('stdout'), stderr: text('stderr'), ...end }, () => '');
      }
      throw new Exit(0);
    });
}

const PROCESS_COLUMNS: Readonly<Record<string, (row: ProcessRow) => string>> = {
  PID: ({ pid }) => String(pid),
  PPID: ({ ppid }) => String(ppid),
  NODE: ({ node }) => node,
  STATE: ({ state }) => state,
  TIME: ({ cpuMs }) => formatMs(cpuMs),
  MEMORY: ({ memoryBytes }) => formatBytes(memoryBytes),
  COMMAND: ({ command }) => command,
};

function renderMigration(result: MigrationResult): string {
  return (
    `process ${result.pid} moved from ${result.from} to ${result.to}: ` +
    `${result.bytes} bytes (${formatBytes(result.bytes)}), ` +
    `downtime ${result.pauseMs.toFixed(1)} ms, ${result.totalMs.toFixed(1)} ms in all\n`
  );
}

function collecting() {
  const parts: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  return {
    async write(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
      parts[stream].push(bytes);
    },
    text: (stream: 'stdout' | 'stderr'): string => Buffer.concat(parts[stream]).toString('utf8'),
  };
}
