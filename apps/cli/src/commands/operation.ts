import type { OperationLogPage, OperationLogView, OperationView } from '@drvs/contracts';
import type { Command } from 'commander';
import { FOLLOW_RETRY_MS, type Query } from '../api/client.js';
import { onOneLine, renderFacts, renderTable } from '../output/table.js';
import { formatAgo, formatMs } from '../quantities.js';
import type { Shell } from '../shell.js';

/** Lists go back this far unless --all. */
const LISTED = 50;
/** A request for more of a log waits so long; then the next is made. */
const FOLLOW_SECONDS = 20;

export function registerOperation(program: Command, shell: Shell): void {
  const op = program.command('op').description('operations: work that goes on in the background');
  const path = (id: string): string => `/operations/${encodeURIComponent(id)}`;

  op.command('list')
    .alias('ls')
    .description(`the last ${LISTED} operations`)
    .option('--drvm <drvm>', 'only those of one DRVM')
    .option('--state <state>', 'queued, running, succeeded, failed, cancelled or compensated')
    .option('--kind <kind>', 'such as drvm.create or plan.apply')
    .option('--subject <subject>', 'what it works on, or the beginning of it, such as drvm/fisica')
    .option('--actor <who>', 'who asked for it')
    .option('--from <time>', 'asked for since then')
    .option('--to <time>', 'asked for before then')
    .option('--all', 'all of them')
    .action(async ({ all, ...filter }: Query & { all?: boolean }) => {
      const views = await (await shell.client()).list<OperationView>(
        '/operations',
        filter,
        all ? Number.POSITIVE_INFINITY : LISTED,
      );
      shell.table(
        views,
        {
          ID: ({ id }) => id,
          KIND: ({ kind }) => kind,
          SUBJECT: ({ subject }) => subject,
          STATE: ({ state }) => state,
          DONE: ({ progress }) => `${Math.floor(progress * 100)}%`,
          BY: ({ requestedBy }) => requestedBy,
          STARTED: ({ createdAt }) => formatAgo(createdAt, Date.now()),
        },
        'no operations',
      );
    });

  op.command('show')
    .description('one operation with its steps')
    .argument('<id>')
    .action(async (id: string) =>
      shell.answer(await (await shell.client()).get<OperationView>(path(id)), render),
    );

  op.command('wait')
    .description('wait until an operation has ended; exit 1 when it did not succeed')
    .argument('<id>')
    .action(async (id: string) => {
      const view = await shell.follow(await (await shell.client()).get<OperationView>(path(id)));
      shell.answer(view, render);
    });

  op.command('logs')
    .description('what an operation did, line by line')
    .argument('<id>')
    .option('-f, --follow', 'go on until it has ended')
    .action(async (id: string, options: { follow?: boolean }) => {
      const client = await shell.client();
      for (let cursor: string | null = null; ; ) {
        const page: OperationLogPage = await client.get(`${path(id)}/logs`, {
          query: { cursor, limit: 500, waitSeconds: options.follow ? FOLLOW_SECONDS : 0 },
          retryMs: options.follow ? FOLLOW_RETRY_MS : undefined,
        });
        // One value a line, so that what follows can be read as it comes.
        for (const line of page.items)
          shell.out(shell.isJson ? `${JSON.stringify(line)}\n` : renderLine(line));
        cursor = page.nextCursor;
        if (page.ended || (!options.follow && page.items.length === 0)) return;
      }
    });

  op.command('continue')
    .description('say that the work on nodes that an operation waits for is done, or why it failed')
    .argument('<id>')
    .argument('[nodes...]', 'without them all that are waited for')
    .option('--failed <reason>', 'it was not done: they stay drained, and no other nodes are begun')
    .action(async (id: string, nodes: string[], { failed }: { failed?: string }) => {
      const body = { nodes: nodes.length > 0 ? nodes : undefined, failure: failed };
      const view = await (await shell.client()).post<OperationView>(`${path(id)}/continue`, body);
      shell.answer(view, () => `${id}: ${view.state}\n`);
    });

  for (const [action, description] of [
    ['cancel', 'stop an operation and undo what it did'],
    ['retry', 'take up a failed operation again'],
  ] as const) {
    op.command(action)
      .description(description)
      .argument('<id>')
      .action(async (id: string) => {
        const view = await (await shell.client()).post<OperationView>(`${path(id)}/${action}`);
        shell.answer(view, () => `${id}: ${view.state}\n`);
      });
  }
}

const renderLine = ({ at, step, level, text }: OperationLogView): string =>
  `${at}  ${level === 'info' ? '' : `${level.toUpperCase()}  `}${step === null ? '' : `${onOneLine(step)}: `}${onOneLine(text)}\n`;

function render(view: OperationView): string {
  const took = (from: string | null, to: string | null): string =>
    from === null ? '-' : formatMs((to === null ? Date.now() : Date.parse(to)) - Date.parse(from));
  return (
    renderFacts([
      ['Id', view.id],
      ['Kind', view.kind],
      ['Subject', view.subject],
      ['State', `${view.state} (${Math.floor(view.progress * 100)}%)`],
      ['By', view.requestedBy],
      ['Started', view.createdAt],
      ['Deadline', view.deadlineAt],
      ['Took', took(view.createdAt, view.endedAt)],
      ['Waits for', view.awaits?.length ? `the work on ${view.awaits.join(', ')}` : null],
      ['Error', view.error && `${view.error.message} (${view.error.code})`],
      ['Hint', view.error?.hint],
      ['Result', view.result == null ? null : JSON.stringify(view.result)],
    ]) +
    (view.steps.length === 0
      ? ''
      : `\n${renderTable(
          ['STEP', 'STATE', 'TOOK', 'ERROR'],
          view.steps.map((step) => [
            step.name,
            step.state,
            took(step.startedAt, step.endedAt),
            step.error ?? '',
          ]),
        )}`)
  );
}
