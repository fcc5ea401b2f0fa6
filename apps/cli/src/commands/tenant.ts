import { type Amounts, DrvsError, ROLES, type TenantView, type UserView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { formatCpu, formatMiB, parseAmounts } from '../quantities.js';
import type { Shell } from '../shell.js';

export function registerTenant(program: Command, shell: Shell): void {
  const tenant = program.command('tenant').description('departments: who may use how much');
  const path = (name: string): string => `/tenants/${encodeURIComponent(name)}`;

  tenant
    .command('create')
    .description('make a department')
    .argument('<name>')
    .argument(
      '[quota...]',
      'cpu=4 memory=4Gi disk=20Gi network=1G; without it there is no limit but the cluster',
    )
    .action(async (name: string, words: string[]) => {
      const quota = withoutNulls(parseAmounts(words));
      const made = await (await shell.client()).post<TenantView>('/tenants', { name, quota });
      shell.answer(made, () => `${name} created\n`);
    });

  tenant
    .command('list')
    .alias('ls')
    .description('all departments with quota and use')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<TenantView>('/tenants'),
        {
          NAME: ({ name }) => name,
          CPU: ({ used, quota }) => share(formatCpu(used.cpu), quota.cpu, formatCpu),
          MEMORY: ({ used, quota }) => share(formatMiB(used.memoryMiB), quota.memoryMiB, formatMiB),
          DISK: ({ used, quota }) => share(`${used.diskGiB} GiB`, quota.diskGiB, (gib) => `${gib} GiB`),
          DEVICES: ({ devices }) => renderDevices(devices),
          WEIGHT: ({ weight }) => String(weight),
          SHARE: ({ dominantShare }) => renderShare(dominantShare),
        },
        'no departments yet; make one with `drvs tenant create NAME`',
      );
    });

  tenant
    .command('show')
    .description('one department')
    .argument('<name>')
    .action(async (name: string) => {
      const view = await (await shell.client()).get<TenantView>(path(name));
      shell.facts(view, [
        ['Name', view.name],
        ['Id', view.id],
        ['CPU', share(formatCpu(view.used.cpu), view.quota.cpu, formatCpu)],
        ['Memory', share(formatMiB(view.used.memoryMiB), view.quota.memoryMiB, formatMiB)],
        ['Disk', share(`${view.used.diskGiB} GiB`, view.quota.diskGiB, (gib) => `${gib} GiB`)],
        ['Devices', renderDevices(view.devices)],
        ['Weight', String(view.weight)],
        ['Dominant share', renderShare(view.dominantShare)],
      ]);
    });

  tenant
    .command('quota')
    .description('limit what a department may hold in all')
    .argument('<name>')
    .argument(
      '<amounts...>',
      'cpu=4 memory=4Gi disk=20Gi network=1G devices.gpu=2; cpu=none takes that limit away',
    )
    .action(async (name: string, words: string[]) => {
      const devices = parseDeviceLimits(words.filter((word) => word.startsWith('devices.')));
      const quota = parseAmounts(words.filter((word) => !word.startsWith('devices.')));
      const after = await (await shell.client()).patch<TenantView>(path(name), {
        quota,
        devices: Object.keys(devices).length === 0 ? undefined : devices,
      });
      shell.answer(after, () => `${name}: ${words.join(' ')}\n`);
    });

  tenant
    .command('set')
    .description('how much a department is due of what all want: weight=2 twice as much as weight=1')
    .argument('<name>')
    .argument('<settings...>', 'weight=2')
    .action(async (name: string, words: string[]) => {
      const [word] = words;
      const weight = /^weight=(\d+(?:\.\d+)?)$/.exec(word ?? '')?.[1];
      if (words.length !== 1 || weight === undefined)
        throw usage(`"${words.join(' ')}" is not a setting`, 'Write weight=2.');
      const after = await (await shell.client()).patch<TenantView>(path(name), { weight: Number(weight) });
      shell.answer(after, () => `${name}: weight ${after.weight}\n`);
    });

  tenant
    .command('remove')
    .alias('rm')
    .description('remove a department that holds no DRVM')
    .argument('<name>')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: { yes?: boolean }) => {
      await shell.confirm(`Remove department ${name}?`, options.yes);
      await (await shell.client()).delete(path(name));
      shell.answer({ name }, () => `${name} removed\n`);
    });

  const member = tenant.command('member').description('who belongs to a department');
  member
    .command('add')
    .description('give a user a place in the department')
    .argument('<tenant>')
    .argument('<user>')
    .addOption(new Option('--role <role>', 'what the user may do there').choices(ROLES).default('member'))
    .action(async (name: string, user: string, options: { role: string }) => {
      const view = await (await shell.client()).patch<UserView>(`/users/${encodeURIComponent(user)}`, {
        tenant: name,
        role: options.role,
      });
      shell.answer(view, () => `${user} is ${view.role} of ${name}\n`);
    });
  member
    .command('remove')
    .alias('rm')
    .description('remove a user who belongs to the department')
    .argument('<tenant>')
    .argument('<user>')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, user: string, options: { yes?: boolean }) => {
      const client = await shell.client();
      const view = await client.get<UserView>(`/users/${encodeURIComponent(user)}`);
      if (view.tenant !== name) throw new DrvsError('NotFound', `${user} does not belong to ${name}`);
      await shell.confirm(`Remove user ${user} of ${name}?`, options.yes);
      await client.delete(`/users/${encodeURIComponent(user)}`);
      shell.answer({ tenant: name, user }, () => `${user} removed from ${name}\n`);
    });
}

const share = (used: string, limit: number | undefined | null, format: (value: number) => string): string =>
  limit == null ? `${used} (no limit)` : `${used} of ${format(limit)}`;

function parseDeviceLimits(words: readonly string[]): Record<string, number | null> {
  const limits: Record<string, number | null> = {};
  for (const word of words) {
    const match = /^devices\.([a-z][a-z0-9-]*)=(\d+|none)$/.exec(word);
    if (!match)
      throw usage(`"${word}" is not a limit of devices`, 'Write devices.gpu=2, or devices.gpu=none.');
    limits[match[1] as string] = match[2] === 'none' ? null : Number(match[2]);
  }
  return limits;
}

function renderDevices({ quota, used }: TenantView['devices']): string {
  const types = [...new Set([...Object.keys(quota), ...Object.keys(used)])].sort();
  return (
    types
      .map((type) => `${type} ${used[type] ?? 0}${quota[type] === undefined ? '' : ` of ${quota[type]}`}`)
      .join(', ') || '-'
  );
}

function renderShare({ share: part, class: dominant }: TenantView['dominantShare']): string {
  return dominant === null ? '0 %' : `${Math.round(part * 1000) / 10} % (${dominant})`;
}

const withoutNulls = (amounts: Record<string, number | null>): Partial<Amounts> =>
  Object.fromEntries(Object.entries(amounts).filter(([, value]) => value !== null)) as Partial<Amounts>;
