/** The process that `drvs up` leaves behind: node supervisor-main.js <repository> <data> [--no-portal] */
import { dataFolder, readStack } from './data-folder.js';
import { LocalPowerServer, localPowerSocket } from './local-power.js';
import { takeLock } from './lock.js';
import { partsOf, STACK_MARK, urlOf } from './parts.js';
import { preparePostgres } from './postgres.js';
import { identify } from './process-identity.js';
import { readRunFile } from './run-file.js';
import { Supervisor } from './supervisor.js';

const say = (text: string): void => {
  process.stdout.write(`${new Date().toISOString()} ${text}\n`);
};

const [root, data, ...flags] = process.argv.slice(2);
if (!root || !data) throw new Error('usage: supervisor-main.js REPOSITORY DATA [--no-portal]');
const folder = dataFolder(data);
// Held as long as this process lives.
const lock = await takeLock('stack', folder.root);
if (lock === null) {
  say('another supervisor looks after this data folder');
  process.exit(1);
}
const stack = await readStack(folder);
if (stack === null) throw new Error(`${folder.root} is not set up`);
const self = identify(process.pid);
if (self === null) throw new Error('this process cannot be identified');
delete process.env[STACK_MARK];

const parts = partsOf({
  root,
  folder,
  stack,
  postgres: stack.database.kind === 'embedded' ? await preparePostgres() : null,
  hasPortal: !flags.includes('--no-portal'),
  env: process.env,
});
const supervisor = new Supervisor(folder, parts, urlOf(stack.port), self, readRunFile(folder), say);
const power = await LocalPowerServer.listen(localPowerSocket(folder), supervisor, say);
let isAsked = false;
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (isAsked) return;
    isAsked = true;
    say(`${signal}: stopping`);
    power
      .close()
      .then(() => supervisor.stop())
      .then(
        () => {
          say('stopped');
          process.exit(0);
        },
        (error: Error) => {
          say(`stopping failed: ${error.stack}`);
          process.exit(1);
        },
      );
  });
}
say(`looks after ${parts.map(({ name }) => name).join(', ')}`);
await supervisor.run();
