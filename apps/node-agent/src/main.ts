import { DrvsError } from '@drvs/contracts';
import { Agent } from './agent.js';
import { parseConfig } from './config.js';
import { DataFolder } from './data-folder.js';
import { createLog } from './log.js';

/** After SIGUSR2 or `stop-containers` guests get this long to end by themselves. */
const STOP_GRACE_MS = 5_000;

async function main(): Promise<void> {
  const config = parseConfig(process.argv.slice(2), process.env);
  const log = createLog(config.logLevel, config.nodeName);
  const data = await DataFolder.open(config.data);
  const agent = await Agent.open(config, data, log);
  let isLeaving = false;
  const leave = (how: () => Promise<void>) => () => {
    // A second signal means it.
    if (isLeaving) process.exit(1);
    isLeaving = true;
    how().catch((error: unknown) => fail(error));
  };
  process.on(
    'SIGTERM',
    leave(() => agent.leave()),
  );
  process.on(
    'SIGINT',
    leave(() => agent.leave()),
  );
  process.on(
    'SIGUSR2',
    leave(() => agent.leaveAndStopContainers(STOP_GRACE_MS)),
  );
  if (config.command === 'stop-containers') await agent.stopContainers(STOP_GRACE_MS);
  else await agent.run();
  log.info('agent ends');
  await data.close();
}

function fail(error: unknown): never {
  const { code, message, hint, field } = DrvsError.from(error);
  if (code === 'Internal') console.error(error);
  console.error(JSON.stringify({ code, message, hint, field }));
  process.exit(1);
}

main().catch(fail);
