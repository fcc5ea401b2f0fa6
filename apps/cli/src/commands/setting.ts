import type { SettingView } from '@drvs/contracts';
import type { Command } from 'commander';
import type { Shell } from '../shell.js';
import { jsonOrText } from './json-or-text.js';

export function registerSetting(program: Command, shell: Shell): void {
  const setting = program
    .command('setting')
    .description('limits and servers that hold for the whole cluster');
  const path = (key: string): string => `/settings/${encodeURIComponent(key)}`;
  const line = ({ key, value }: SettingView): string => `${key} = ${JSON.stringify(value)}\n`;

  setting
    .command('list')
    .alias('ls')
    .description('what may be set, and what holds now')
    .action(async () => {
      const { items } = await (await shell.client()).get<{ items: SettingView[] }>('/settings');
      shell.table(
        items,
        {
          KEY: ({ key }) => key,
          VALUE: ({ value }) => JSON.stringify(value),
          SET: ({ isDefault }) => (isDefault ? 'no' : 'yes'),
          WHAT: ({ about }) => about,
        },
        'no settings',
      );
    });

  setting
    .command('set')
    .description('set one')
    .argument('<key>')
    .argument('<value>', 'in JSON; a word by itself is a text')
    .action(async (key: string, value: string) => {
      const answer = await (await shell.client()).send<SettingView>('PUT', path(key), {
        body: { value: jsonOrText(value) },
      });
      shell.answer(answer.value, line);
    });

  setting
    .command('unset')
    .description('go back to what holds without it')
    .argument('<key>')
    .action(async (key: string) => {
      shell.answer(await (await shell.client()).delete<SettingView>(path(key)), line);
    });
}
