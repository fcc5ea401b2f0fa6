// How soon CPU comes to a DRVM that needs it, from one that is idle on the same node, and goes back when its owner wakes:
// on a whole system, from when the program begins to when the new limit is in force on the node.

import { Report } from './support/report.mjs';
import { startStack, timeUntil } from './support/stack.mjs';

const ROUNDS = 3;
const WITHIN_MS = 30_000;
/** Millions of rounds: longer than any round here. */
const WORK = '100000';

const report = new Report();
const stack = await startStack(2);
try {
  await stack.drvs('tenant', 'create', 'bench');
  const create = (name) =>
    stack.drvs(
      ...[
        'drvm',
        'create',
        name,
        '--tenant',
        'bench',
        '--cpu',
        '0.12',
        '--ceiling',
        'cpu=0.3',
        '--memory',
        '256Mi',
      ],
      ...['--nodes', 'node2'],
    );
  await create('owner');
  await create('needy');
  await stack.rest('PUT', '/settings/lending.enabled', { value: true });
  const holds = async (drvm) => {
    const { items } = await stack.rest('GET', `/loans?drvm=${drvm}`);
    return items.some(({ side }) => side === 'borrows');
  };
  const burn = (drvm) => stack.json('run', drvm, '--detach', '/bin/burn', WORK).then(({ pid }) => pid);
  const kill = (drvm, pid) => stack.drvs('kill', drvm, String(pid), '9');
  const lent = [];
  const returned = [];
  for (let round = 0; round < ROUNDS; round++) {
    const needs = await burn('needy');
    lent.push((await timeUntil('needy borrows', WITHIN_MS, () => holds('needy'))) / 1000);
    const wakes = await burn('owner');
    returned.push(
      (await timeUntil('the owner has its own back', WITHIN_MS, async () => !(await holds('needy')))) / 1000,
    );
    await kill('needy', needs);
    await kill('owner', wakes);
    await timeUntil(
      'nothing is lent',
      WITHIN_MS,
      async () => !(await holds('owner')) && !(await holds('needy')),
    );
  }
  report.add({
    name: 'CPU from idle to needy, after the need shows',
    unit: 's',
    ours: lent,
    wanted: { most: 5 },
  });
  report.add({
    name: 'CPU back to its owner, after it wakes',
    unit: 's',
    ours: returned,
    wanted: { most: 5 },
  });
} finally {
  await stack.stop();
}
report.end();
process.exit(0);
