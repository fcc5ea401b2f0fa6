import type { NewWebhookView, WebhookDeliveryView, WebhookTestView, WebhookView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { Exit } from '../failure.js';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';

const LISTED = 100;

export function registerWebhook(program: Command, shell: Shell): void {
  const webhook = program.command('webhook').description('send events to addresses of your own, signed');
  const path = (id: string): string => `/webhooks/${encodeURIComponent(id)}`;
  const words = (text: string): string[] => text.split(',').map((word) => word.trim());

  webhook
    .command('create')
    .description('send events to an address; the secret that signs them is shown once')
    .argument('<url>')
    .option('--events <kinds>', "kinds of events with commas between them, such as 'drvm.*,node.down'", words)
    .option(
      '--tenant <tenant>',
      'the department whose events they are; of a supra-administrator all without it',
    )
    .option('--secret <secret>', 'one of your own, of 16 characters at least')
    .option('--description <text>', 'what it is for')
    .action(
      async (
        url: string,
        options: { events?: string[]; tenant?: string; secret?: string; description?: string },
      ) => {
        const made = await (await shell.client()).post<NewWebhookView>('/webhooks', { url, ...options });
        if (!shell.isJson) shell.note(`webhook ${made.id}; its secret is not shown again:`);
        shell.answer(made, ({ secret }) => `${secret}\n`);
      },
    );

  webhook
    .command('list')
    .alias('ls')
    .description('where events are sent to')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<WebhookView>('/webhooks'),
        {
          ID: ({ id }) => id,
          URL: ({ url }) => url,
          EVENTS: ({ events }) => events.join(','),
          DEPARTMENT: ({ tenant }) => tenant ?? '-',
          STATE: ({ state }) => state,
          WAITING: ({ pending }) => String(pending),
          DEAD: ({ dead }) => String(dead),
          DELIVERED: ({ lastSuccessAt }) => formatAgo(lastSuccessAt, Date.now()),
        },
        'no webhooks',
      );
    });

  webhook
    .command('show')
    .description('one webhook')
    .argument('<id>')
    .action(async (id: string) => {
      const view = await (await shell.client()).get<WebhookView>(path(id));
      shell.facts(view, [
        ['Id', view.id],
        ['Url', view.url],
        ['Events', view.events.join(', ')],
        ['Department', view.tenant],
        ['Description', view.description],
        ['State', view.state],
        ['Waiting', String(view.pending)],
        ['Given up', String(view.dead)],
        ['Failed attempts', view.failures === 0 ? null : `${view.failures}, the last: ${view.lastError}`],
        ['Delivered last', view.lastSuccessAt],
        ['By', view.createdBy],
        ['Since', view.createdAt],
      ]);
    });

  webhook
    .command('test')
    .description('send a test event at once; exit 1 when it is not taken')
    .argument('<id>')
    .action(async (id: string) => {
      const outcome = await (await shell.client()).post<WebhookTestView>(`${path(id)}/test`);
      shell.answer(outcome, ({ delivered, status, error, milliseconds }) =>
        delivered ? `delivered: ${status} in ${milliseconds} ms\n` : `not delivered: ${error}\n`,
      );
      if (!outcome.delivered) throw new Exit(1);
    });

  for (const [name, enabled, description] of [
    ['enable', true, 'send to it again, with what happens from now'],
    ['disable', false, 'send nothing to it for now'],
  ] as const) {
    webhook
      .command(name)
      .description(description)
      .argument('<id>')
      .action(async (id: string) => {
        const view = await (await shell.client()).patch<WebhookView>(path(id), { enabled });
        shell.answer(view, ({ state }) => `${id}: ${state}\n`);
      });
  }

  webhook
    .command('delete')
    .alias('remove')
    .description('send nothing there any more; what waits is not sent')
    .argument('<id>')
    .action(async (id: string) => {
      await (await shell.client()).delete(path(id));
      shell.answer({ id }, () => `${id} deleted\n`);
    });

  webhook
    .command('deliveries')
    .description('what was sent and what waits, the newest first')
    .argument('<id>')
    .addOption(new Option('--state <state>').choices(['pending', 'delivered', 'dead']))
    .action(async (id: string, options: { state?: string }) => {
      shell.table(
        await (await shell.client()).list<WebhookDeliveryView>(`${path(id)}/deliveries`, options, LISTED),
        {
          ID: (row) => row.id,
          EVENT: ({ event }) => event,
          KIND: ({ kind }) => kind,
          STATE: ({ state }) => state,
          ATTEMPTS: ({ attempts }) => String(attempts),
          STATUS: ({ status }) => (status === null ? '-' : String(status)),
          AT: ({ endedAt, createdAt }) => endedAt ?? createdAt,
          ERROR: ({ error }) => error ?? '',
        },
        'no deliveries',
      );
    });

  webhook
    .command('redeliver')
    .description('send a delivery again; all-dead: all that were given up')
    .argument('<id>')
    .argument('<delivery>', 'its number, or all-dead')
    .action(async (id: string, delivery: string) => {
      const answer = await (await shell.client()).post<{ queued: number }>(
        `${path(id)}/deliveries/${encodeURIComponent(delivery)}/redeliver`,
      );
      shell.answer(answer, ({ queued }) => `${queued} put back in the line\n`);
    });
}
