import { type NewTokenView, ROLES, type TokenView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { formatAgo, parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';

const DAY_SECONDS = 86_400;

export function registerToken(program: Command, shell: Shell): void {
  const token = program.command('token').description('API tokens for programs');

  token
    .command('create')
    .description('make a token; it is shown once')
    .argument('<name>')
    .option('--tenant <tenant>', 'the department it is limited to')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).makeOptionMandatory())
    .option('--expires <duration>', 'how long it is good, such as 30d or 12h', parseDurationSeconds)
    .action(async (name: string, options: { tenant?: string; role: string; expires?: number }) => {
      const made = await (await shell.client()).post<NewTokenView>('/tokens', {
        name,
        tenant: options.tenant ?? null,
        role: options.role,
        expiresInDays: options.expires === undefined ? undefined : options.expires / DAY_SECONDS,
      });
      if (!shell.isJson) {
        shell.note(
          `the token ${made.id}, ${made.expiresAt ? `until ${made.expiresAt}` : 'without an end'}; it is not shown again:`,
        );
      }
      shell.answer(made, () => `${made.token}\n`);
    });

  token
    .command('list')
    .alias('ls')
    .description('all tokens, without their secrets')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<TokenView>('/tokens'),
        {
          ID: ({ id }) => id,
          NAME: ({ name }) => name,
          ROLE: ({ role }) => role,
          DEPARTMENT: ({ tenant }) => tenant ?? '-',
          EXPIRES: ({ expiresAt }) => expiresAt ?? 'never',
          USED: ({ lastUsedAt }) => formatAgo(lastUsedAt, Date.now()),
        },
        'no tokens',
      );
    });

  token
    .command('revoke')
    .description('make a token worthless, at once')
    .argument('<id>')
    .action(async (id: string) => {
      await (await shell.client()).delete(`/tokens/${encodeURIComponent(id)}`);
      shell.answer({ id }, () => `${id} revoked\n`);
    });
}
