import { randomBytes } from 'node:crypto';
import { DrvsError, ROLES, type UserView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';

export function registerUser(program: Command, shell: Shell): void {
  const user = program.command('user').description('people who sign in');
  const path = (name: string): string => `/users/${encodeURIComponent(name)}`;
  const passwordFromStdin = async (): Promise<string> =>
    (await shell.readStdin(4096)).toString('utf8').replace(/\r?\n$/, '');

  user
    .command('create')
    .description('make a user; prints the password when the system makes it')
    .argument('<name>')
    .option('--tenant <tenant>', 'the department; none for those who manage all of it')
    .addOption(new Option('--role <role>', 'what the user may do').choices(ROLES).default('member'))
    .option('--password-stdin', 'read the password from standard input')
    .action(async (name: string, options: { tenant?: string; role: string; passwordStdin?: boolean }) => {
      const made = await (await shell.client()).post<UserView>('/users', {
        name,
        tenant: options.tenant ?? null,
        role: options.role,
        password: options.passwordStdin ? await passwordFromStdin() : undefined,
      });
      if (made.password && !shell.isJson) shell.note('the password; it is not shown again:');
      shell.answer(made, ({ password }) => (password ? `${password}\n` : `${name} created\n`));
    });

  user
    .command('list')
    .alias('ls')
    .description('all users')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<UserView>('/users'),
        {
          NAME: ({ name }) => name,
          ROLE: ({ role }) => role,
          DEPARTMENT: ({ tenant }) => tenant ?? '-',
          CREATED: ({ createdAt }) => formatAgo(createdAt, Date.now()),
        },
        'no users',
      );
    });

  user
    .command('password')
    .description('give a user a new password, random unless it is read from standard input')
    .argument('<name>')
    .option('--password-stdin', 'read the password from standard input')
    .action(async (name: string, options: { passwordStdin?: boolean }) => {
      const password = options.passwordStdin
        ? await passwordFromStdin()
        : randomBytes(15).toString('base64url');
      const view = await change(name, password);
      if (options.passwordStdin) shell.answer(view, () => `the password of ${name} is changed\n`);
      else {
        if (!shell.isJson) shell.note(`the new password of ${name}; it is not shown again:`);
        shell.answer({ ...view, password }, () => `${password}\n`);
      }
    });

  /** Your own needs the one that you have now: it is asked for. */
  async function change(name: string, password: string): Promise<UserView> {
    const client = await shell.client();
    try {
      return await client.patch<UserView>(path(name), { password });
    } catch (error) {
      if (!(error instanceof DrvsError && error.field === 'currentPassword' && shell.stdin.isTTY))
        throw error;
      const currentPassword = await shell.askSecret(`present password of ${name}: `);
      return client.patch<UserView>(path(name), { password, currentPassword });
    }
  }

  user
    .command('remove')
    .alias('rm')
    .description('remove a user; its sessions end')
    .argument('<name>')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: { yes?: boolean }) => {
      await shell.confirm(`Remove user ${name}?`, options.yes);
      await (await shell.client()).delete(path(name));
      shell.answer({ name }, () => `${name} removed\n`);
    });
}
