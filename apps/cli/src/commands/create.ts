import type { CandidateView, DrvmView, LeaseView, OperationView, WaitingView } from '@drvs/contracts';
import type { Command } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { usage } from '../failure.js';
import { type DrvmPlanView, renderDrvm, renderDrvmPlan } from '../output/drvm-text.js';
import { parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';
import { type Batch, batchFrom, createBatch, numbered } from './create-batch.js';
import {
  addPlacementOptions,
  defaultDisk,
  type PlacementOptions,
  placementBody,
} from './placement-options.js';

/** A waiting request is looked at this often, by whoever stays at the terminal. */
const LOOK_EVERY_MS = 2_000;

interface CreateOptions extends PlacementOptions {
  dvos?: string;
  template?: string;
  candidate?: string;
  lease?: number;
  leaseStart?: string;
  leaseEnd?: string;
  keep?: number;
  idle?: string;
  queue?: boolean;
  dryRun?: boolean;
  wait?: boolean;
  from?: string;
  count?: number;
}

type Created = { operation: OperationView; drvm: DrvmView } | { waiting: WaitingView };

export function registerCreate(drvm: Command, shell: Shell): void {
  const command = drvm.command('create').description('make a DRVM and start it').argument('[name]');
  addPlacementOptions(command)
    .option('--dvos <kind>', 'its operating system (default: mol)')
    .option('--template <template>', 'what the template says, where nothing else is said')
    .option('--candidate <id>', 'the candidate to take (`drvs drvm candidates`)')
    .option('--lease <duration>', 'for so long: 12h, 30d', parseDurationSeconds)
    .option('--lease-start <time>', 'from then on: 2026-12-01T08:00:00-03:00')
    .option('--lease-end <time>', 'until then')
    .option('--keep <duration>', 'keep its files so long after the end (default 7d)', parseDurationSeconds)
    .option('--idle <action>', 'what to do when it is idle: stop:2h, shrink:30m or notify:1d')
    .option('--dry-run', 'only say what would be done, and why')
    .option('--count <drvms>', 'so many of them, all or none: NAME-1, NAME-2, …', parseCount)
    .option(
      '--from <file>',
      'those of a file of JSON (- is standard input), all or none: [{name, cpu, memoryMiB, …}]',
    )
    .option('--wait', 'when it does not fit now, wait in the queue until there is room')
    .option('--queue', 'the same, but do not stay here meanwhile')
    .option('--no-wait', "do not wait; print the operation's id")
    .action(async (name: string | undefined, options: CreateOptions) => {
      if (options.from !== undefined || options.count !== undefined)
        return createBatch(shell, await batchOf(shell, name, options), options.wait !== false);
      if (name === undefined) throw usage('say how it is to be called: drvs drvm create NAME');
      const client = await shell.client();
      const whole = options.candidate ? { ...(await candidateRequest(shell, options.candidate)) } : {};
      const tenant = options.tenant ?? (await client.get<{ tenant: string | null }>('/auth/me')).tenant;
      const said = placementBody(options);
      const body: Record<string, unknown> = {
        ...whole,
        ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
        name,
        tenant: tenant ?? whole.tenant,
        dvos: options.dvos,
        candidate: options.candidate,
        whenFull: options.wait === true || options.queue ? 'wait' : undefined,
        lease: leaseBody(options),
        dryRun: options.dryRun,
      };
      if (options.template === undefined && options.candidate === undefined) {
        if (options.cpu === undefined || options.memory === undefined)
          throw usage('say how much: --cpu and --memory', 'Or name a template: --template T.');
        body.diskGiB = defaultDisk(options);
      }
      if (body.tenant === null || body.tenant === undefined)
        throw usage('say whose it is: --tenant DEPARTMENT', 'See `drvs tenant list`.');
      const path =
        options.template === undefined
          ? '/drvms'
          : `/templates/${encodeURIComponent(options.template)}/drvms`;
      if (options.dryRun) {
        shell.answer(await client.post<DrvmPlanView>(path, body), renderDrvmPlan);
        return;
      }
      const created = await client.post<Created>(path, body);
      if ('waiting' in created && (options.queue || options.wait === false))
        return shell.answer(created.waiting, ({ id, reason }) => `${id} waits: ${reason}\n`);
      const operation = 'waiting' in created ? await letIn(shell, created.waiting) : created.operation;
      if (options.wait === false) return shell.answer(operation, ({ id }) => `${id}\n`);
      const ended = await shell.follow(operation);
      const { drvmId } = ended.result as { drvmId: string };
      shell.answer(await client.get<DrvmView>(drvmPath(drvmId)), renderDrvm);
    });
}

/** What a batch has no room for: each is planned on what those before it left, and none waits. */
const ALONE = [
  'template',
  'candidate',
  'lease',
  'leaseStart',
  'leaseEnd',
  'keep',
  'idle',
  'queue',
  'dryRun',
] as const;
const ALONE_TOO = ['affinity', 'antiAffinity', 'device'] as const;

async function batchOf(shell: Shell, name: string | undefined, options: CreateOptions): Promise<Batch> {
  const alone = [...ALONE, ...ALONE_TOO].filter((option) => options[option] !== undefined);
  if (alone.length > 0 || options.wait === true) {
    const said = [...alone, ...(options.wait === true ? ['wait'] : [])].map(dashed).join(', ');
    throw usage(
      `${said}: not of several at once`,
      'Make them one by one, or from a template: drvs drvm import.',
    );
  }
  if (options.from !== undefined) {
    if (name !== undefined || options.count !== undefined)
      throw usage('a file says the names and how many', 'Give --from alone, or NAME and --count.');
    const { tenant, drvms } = await batchFrom(shell, options.from);
    return { tenant: options.tenant ?? tenant, drvms };
  }
  if (name === undefined) throw usage('say how they are to be called: drvs drvm create NAME --count N');
  if (options.cpu === undefined || options.memory === undefined)
    throw usage('say how much each has: --cpu and --memory');
  const { tenant, ...body } = placementBody(options);
  const each = { ...body, dvos: options.dvos, diskGiB: defaultDisk(options) };
  return {
    ...(typeof tenant === 'string' ? { tenant } : {}),
    drvms: numbered(name, options.count ?? 1, each),
  };
}

const dashed = (option: string): string =>
  `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function parseCount(text: string): number {
  if (/^\d{1,6}$/.test(text) && Number(text) >= 1) return Number(text);
  throw usage(`"${text}" is not a number of DRVMs`, 'For instance --count 30.');
}

async function candidateRequest(shell: Shell, id: string): Promise<Record<string, unknown>> {
  const client = await shell.client();
  const path = `/allocation-candidates/${encodeURIComponent(id)}`;
  return (await client.get<{ candidate: CandidateView; request: Record<string, unknown> }>(path)).request;
}

/** Stays until it is let in. ^C leaves it in the queue. */
async function letIn(shell: Shell, waiting: WaitingView): Promise<OperationView> {
  const client = await shell.client();
  const progress = shell.progress();
  using _ = shell.interrupts.take(() => {
    progress.clear();
    shell.note(
      `${waiting.name} goes on waiting: \`drvs queue show ${waiting.id}\`, \`drvs queue cancel ${waiting.id}\``,
    );
    shell.exit(130);
  });
  for (;;) {
    const now = await client.get<WaitingView>(`/queue/${waiting.id}`);
    if (now.state === 'admitted' && now.operation !== null) {
      progress.clear();
      return client.get<OperationView>(`/operations/${now.operation}`);
    }
    if (now.state !== 'waiting') {
      progress.clear();
      throw usage(`${now.name} is ${now.state}: ${now.reason}`);
    }
    progress.show(`${now.name} is number ${now.position} in the queue: ${now.reason}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

export interface LeaseOptions {
  lease?: number;
  leaseStart?: string;
  leaseEnd?: string;
  keep?: number;
  idle?: string;
}

export function leaseBody({
  lease,
  leaseStart,
  leaseEnd,
  keep,
  idle,
}: LeaseOptions): Record<string, unknown> | undefined {
  if (lease === undefined && leaseEnd === undefined) {
    if (leaseStart === undefined && keep === undefined && idle === undefined) return undefined;
    throw usage('say how long the lease is: --lease 30d, or --lease-end TIME');
  }
  const [action, after] = idle === undefined ? [] : idle.split(':', 2);
  if (action !== undefined && !['stop', 'shrink', 'notify'].includes(action))
    throw usage(`"${idle}" is not an idle action`, 'Write stop:2h, shrink:30m or notify:1d.');
  return {
    startsAt: leaseStart === undefined ? undefined : time(leaseStart),
    endsAt: leaseEnd === undefined ? undefined : time(leaseEnd),
    forSeconds: lease,
    keepSeconds: keep,
    idleAction: action,
    idleAfterSeconds: after === undefined ? undefined : parseDurationSeconds(after),
  };
}

function time(text: string): string {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw usage(`"${text}" is not a time`, 'Write it as 2026-12-01T08:00:00-03:00.');
  return new Date(at).toISOString();
}

export function renderLease(lease: LeaseView): [string, string | null][] {
  const idle = lease.idleAction === null ? null : `${lease.idleAction} after ${lease.idleAfterSeconds} s`;
  return [
    ['DRVM', lease.drvm],
    ['State', lease.state],
    ['From', lease.startsAt],
    ['Until', lease.endsAt],
    ['Files until', lease.filesUntil],
    ['Files kept for', `${lease.keepSeconds} s after the end`],
    ['When idle', idle],
    ['Idle since', lease.idleSince],
    ['Extended', `${lease.extensions} times`],
  ];
}
