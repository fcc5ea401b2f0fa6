import type { TemplateView } from '@drvs/contracts';
import type { Command } from 'commander';
import { parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';
import { type LeaseOptions, leaseBody } from './create.js';
import { addPlacementOptions, type PlacementOptions, placementBody } from './placement-options.js';

export function registerTemplate(program: Command, shell: Shell): void {
  const template = program.command('template').description('what the DRVMs of a course have in common');
  const path = (name: string): string => `/templates/${encodeURIComponent(name)}`;

  addPlacementOptions(template.command('create').description('make a template').argument('<name>'))
    .option('--description <text>', 'for people')
    .option('--lease <duration>', 'each for so long: 12h, 120d', parseDurationSeconds)
    .option('--lease-end <time>', 'all until then')
    .option('--keep <duration>', 'keep files so long after the end', parseDurationSeconds)
    .option('--idle <action>', 'stop:2h, shrink:30m or notify:1d')
    .action(async (name: string, options: PlacementOptions & LeaseOptions & { description?: string }) => {
      const { tenant, ...said } = placementBody(options);
      const made = await (await shell.client()).post<TemplateView>('/templates', {
        name,
        tenant,
        description: options.description,
        body: { ...said, lease: leaseBody(options) },
      });
      shell.answer(made, () => `${name} made\n`);
    });

  template
    .command('list')
    .alias('ls')
    .description('the templates that you may use')
    .action(async () => {
      const { items } = await (await shell.client()).get<{ items: TemplateView[] }>('/templates');
      shell.table(
        items,
        {
          NAME: ({ name }) => name,
          DEPARTMENT: ({ tenant }) => tenant ?? '(all)',
          SAYS: ({ body }) => JSON.stringify(body),
          DESCRIPTION: ({ description }) => description,
        },
        'no templates; make one with `drvs template create NAME --cpu 1 --memory 512Mi`',
      );
    });

  template
    .command('show')
    .description('one template')
    .argument('<name>')
    .action(async (name: string) => {
      const view = await (await shell.client()).get<TemplateView>(path(name));
      shell.facts(view, [
        ['Name', view.name],
        ['Id', view.id],
        ['Department', view.tenant ?? '(all)'],
        ['Description', view.description],
        ['Says', JSON.stringify(view.body)],
        ['Made by', view.createdBy],
      ]);
    });

  template
    .command('delete')
    .alias('rm')
    .description('delete a template; DRVMs that were made from it stay')
    .argument('<name>')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: { yes?: boolean }) => {
      await shell.confirm(`Delete the template ${name}?`, options.yes);
      await (await shell.client()).delete(path(name));
      shell.answer({ name }, () => `${name} deleted\n`);
    });
}
