import type { Command } from 'commander';
import { ApiClient } from '../api/client.js';
import { credentials, readConfig, removeConfig, writeConfig } from '../config-file.js';
import { Failure, usage } from '../failure.js';
import type { Shell } from '../shell.js';

interface Me {
  id: string;
  name: string;
  role: string;
  tenant: string | null;
}

export function registerLogin(program: Command, shell: Shell): void {
  program
    .command('login')
    .description('sign in to a DRVS and remember it for the commands after')
    .argument('[url]', 'address of the DRVS, such as https://drvs.example.org')
    .option('--user <name>', 'name of the user (asked for otherwise)')
    .option('--password-stdin', 'read the password from standard input')
    .option('--token <token>', 'sign in with an API token instead')
    .action(async (address: string | undefined, options: LoginOptions) => {
      const url = (address ?? shell.env.DRVS_URL ?? (await readConfig(shell.env))?.url)?.replace(/\/+$/, '');
      if (!url) throw usage('say the address to sign in to', 'drvs login http://127.0.0.1:3000');
      if (!URL.canParse(url) || !/^https?:/.test(url)) {
        throw usage(
          `${url} is not an address`,
          'It looks like https://drvs.example.org or http://127.0.0.1:3000.',
        );
      }
      const me = options.token ? await withToken(url, options.token) : await withPassword(url, options);
      shell.answer({ url, ...me }, () => `signed in to ${url} as ${me.name} (${me.role})\n`);
    });

  async function withToken(url: string, token: string): Promise<Me> {
    await using client = closing(new ApiClient({ url, token, session: null }));
    const me = await client.value.get<Me>('/auth/me');
    await writeConfig(shell.env, { url, token });
    return me;
  }

  async function withPassword(url: string, options: LoginOptions): Promise<Me> {
    if (!options.user && !shell.stdin.isTTY)
      throw usage('say who signs in: --user NAME --password-stdin, or --token');
    const name = options.user ?? (await shell.ask('user: '));
    const password = options.passwordStdin
      ? (await shell.readStdin(4096)).toString('utf8').replace(/\r?\n$/, '')
      : await shell.askSecret(`password of ${name}: `);
    await using client = closing(new ApiClient({ url, token: null, session: null }));
    const { value, headers } = await client.value.send<{ user: Me; csrfToken: string }>(
      'POST',
      '/auth/login',
      {
        body: { name, password },
      },
    );
    const cookies = [headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';')[0]!);
    if (cookies.length === 0) throw new Failure('NotDrvs', `${url} gave no session`);
    await writeConfig(shell.env, {
      url,
      session: { cookie: cookies.join('; '), csrfToken: value.csrfToken },
    });
    return value.user;
  }

  program
    .command('logout')
    .description('end the session here and forget it')
    .action(async () => {
      const config = await readConfig(shell.env);
      if (config?.session) {
        const client = await shell.client();
        await client
          .post('/auth/logout')
          .catch((error: unknown) => shell.note(`not ended there: ${String(error)}`));
      }
      await removeConfig(shell.env);
      shell.answer({ url: config?.url ?? null }, () =>
        config ? `signed out of ${config.url}\n` : 'was not signed in\n',
      );
    });

  program
    .command('whoami')
    .description('who you are, and where')
    .action(async () => {
      const me = await (await shell.client()).get<Me>('/auth/me');
      const { url } = await credentials(shell.env);
      shell.facts({ url, id: me.id, name: me.name, role: me.role, tenant: me.tenant }, [
        ['Address', url],
        ['Name', me.name],
        ['Role', me.role],
        ['Department', me.tenant],
      ]);
    });
}

interface LoginOptions {
  user?: string;
  passwordStdin?: boolean;
  token?: string;
}

const closing = (client: ApiClient): { value: ApiClient } & AsyncDisposable => ({
  value: client,
  [Symbol.asyncDispose]: () => client.close(),
});
