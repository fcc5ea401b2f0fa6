import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failure } from '../failure.js';

/** The checkout that this command line runs from: <root>/apps/cli/{src,dist}/stack/repository. */
const here = join(dirname(fileURLToPath(import.meta.url)), '../../../..');

/** @throws Failure NotACheckout where only the command line is installed */
export function repositoryRoot(): string {
  if (existsSync(join(here, 'scripts/build.mjs')) && existsSync(join(here, 'apps/api/package.json')))
    return here;
  throw new Failure('NotACheckout', 'this command needs a checkout of the DRVS repository', {
    hint: 'Run ./drvs from the root of the repository. An installed drvs works with a DRVS elsewhere: `drvs login URL`.',
  });
}

export const programs = (root: string) => ({
  build: join(root, 'scripts/build.mjs'),
  api: join(root, 'apps/api/dist/main.js'),
  agent: join(root, 'apps/node-agent/dist/main.js'),
  portal: join(root, 'apps/portal/.next/standalone/apps/portal/server.js'),
  supervisor: join(root, 'apps/cli/dist/stack/supervisor-main.js'),
  demo: join(root, 'libs/dvos/dist/guest/primes.wasm'),
});

export const defaultData = (root: string): string => join(root, '.drvs');
