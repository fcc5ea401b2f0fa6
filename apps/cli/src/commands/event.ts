import { linesIn, serverSentEvents } from '@drvs/client';
import type { EventView } from '@drvs/contracts';
import type { Command } from 'commander';
import { FOLLOW_RETRY_MS, isPassing, sleep } from '../api/client.js';
import { Exit, Failure } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';

const LISTED = 100;
const RECONNECT_PAUSE_MS = 500;

interface AuditView {
  id: string;
  at: string;
  actor: string;
  action: string;
  object: string;
  tenant: string | null;
}

interface AuditVerification {
  intact: boolean;
  entries: number;
  headHash: string | null;
  firstBroken: string | null;
}

export function registerEvent(program: Command, shell: Shell): void {
  program
    .command('events')
    .description(`what happened: nodes, DRVMs, processes, migrations; the last ${LISTED}`)
    .option('-f, --follow', 'go on with what happens from now')
    .option('--since <id>', 'only those after this event')
    .action(async (options: { follow?: boolean; since?: string }) => {
      const client = await shell.client();
      if (!options.follow) {
        const latest = { since: options.since, order: 'newest' };
        const events = (await client.list<EventView>('/events', latest, LISTED)).reverse();
        shell.table(
          events,
          { AT: ({ at }) => at, KIND: ({ kind }) => kind, WHERE: where, WHAT: ({ text }) => text },
          'no events',
        );
        return;
      }
      let last = options.since ?? null;
      for (let lastHeardAt = performance.now(); ; ) {
        try {
          const response = await client.open('GET', '/events', {
            headers: { accept: 'text/event-stream', ...(last === null ? {} : { 'last-event-id': last }) },
            query: { since: last },
            retryMs: FOLLOW_RETRY_MS,
          });
          for await (const event of serverSentEvents(linesIn(response.body))) {
            lastHeardAt = performance.now();
            const view = JSON.parse(event.data) as EventView;
            last = event.id ?? view.id;
            // One value a line, so that what follows can be read as it comes.
            shell.out(
              shell.isJson
                ? `${JSON.stringify(view)}\n`
                : `${view.at}  ${view.kind}  ${where(view)}  ${view.text}\n`,
            );
          }
        } catch (error) {
          if (!isPassing(error)) throw error;
        }
        if (performance.now() - lastHeardAt > FOLLOW_RETRY_MS) {
          throw new Failure(
            'ApiUnreachable',
            'events cannot be followed any longer: the API does not answer',
          );
        }
        await sleep(RECONNECT_PAUSE_MS);
      }
    });

  program
    .command('audit')
    .description('who did what')
    .option('--verify', 'check the chain of hashes over all entries: was anything changed or left out?')
    .action(async (options: { verify?: boolean }) => {
      const client = await shell.client();
      if (options.verify) {
        const result = await client.get<AuditVerification>('/audit/verify', { retryMs: FOLLOW_RETRY_MS });
        shell.answer(result, () =>
          result.intact
            ? `${result.entries} entries, the chain is whole; newest hash ${result.headHash}\n`
            : `the chain is broken at entry ${result.firstBroken}\n`,
        );
        throw new Exit(result.intact ? 0 : 1);
      }
      const entries = await client.list<AuditView>('/audit', {}, LISTED);
      shell.answer(entries, () =>
        renderTable(
          ['AT', 'WHO', 'DID', 'TO', 'DEPARTMENT'],
          entries.map(({ at, actor, action, object, tenant }) => [at, actor, action, object, tenant ?? '-']),
        ),
      );
    });
}

const where = ({ tenant, drvm, node }: EventView): string =>
  [tenant, drvm, node].filter((part) => part !== null).join('/') || '-';
