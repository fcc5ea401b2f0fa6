import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildCommandLine } from '../testing/command-line.js';
import { HttpPeer, json } from '../testing/http-peer.js';

/** The real shells, each completing with the script that `drvs completion` prints. */
const MAIN = join(dirname(fileURLToPath(import.meta.url)), '../../dist/main.js');
const TIMEOUT_MS = 60_000;

let folder: string;
let peer: HttpPeer;
beforeAll(async () => {
  buildCommandLine();
  folder = await mkdtemp(join(tmpdir(), 'drvs-completion-'));
  await writeFile(join(folder, 'drvs'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(join(folder, 'drvs'), 0o755);
  peer = await HttpPeer.start(({ path }, response) => {
    const names: Record<string, object[]> = {
      '/api/v1/nodes': [{ name: 'node1' }, { name: 'node2' }],
      '/api/v1/drvms': [{ name: 'aula' }],
      '/api/v1/drvms/aula/processes': [{ pid: 12 }, { pid: 7 }],
    };
    json(response, { items: names[path] ?? [], nextCursor: null });
  });
}, TIMEOUT_MS);
afterAll(async () => {
  await peer?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** @returns the lines that the shell prints, without empty ones; null where it is not installed */
function shell(name: string, args: string[], script: string): Promise<string[] | null> {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  return new Promise((resolve, reject) => {
    execFile(
      name,
      [...args, script],
      {
        env: {
          ...inherited,
          PATH: `${folder}:${process.env.PATH}`,
          HOME: folder,
          XDG_CACHE_HOME: join(folder, 'cache'),
          XDG_CONFIG_HOME: join(folder, 'config'),
          DRVS_URL: peer.url,
          DRVS_TOKEN: 'secret',
          DRVS_COMPLETION_WAIT_MS: String(TIMEOUT_MS),
        },
        timeout: TIMEOUT_MS,
      },
      (error, stdout, stderr) => {
        if ((error as NodeJS.ErrnoException | null)?.code === 'ENOENT') resolve(null);
        else if (error) reject(new Error(`${error.message}\n${stdout}\n${stderr}`));
        else resolve(stdout.split('\n').filter((line) => line !== ''));
      },
    );
  });
}

/** What each shell says may stand at the end of the line. */
const SHELLS: Record<string, (line: string) => Promise<string[] | null>> = {
  bash: (line) =>
    shell(
      'bash',
      ['--norc', '-c'],
      `source <(drvs completion bash); complete -p drvs > /dev/null
       COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _drvs; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ),
  // Outside its editor zsh has no place to put candidates: they are printed instead.
  zsh: (line) =>
    shell(
      'zsh',
      ['-f', '-c'],
      `autoload -Uz compinit; compinit -u -d ${folder}/zcompdump; source <(drvs completion zsh)
       compadd() { print -rl -- "\${candidates[@]}" }; _files() { true }
       words=("\${(@s: :)\${:-'${line}'}}"); words=("\${(@)words//\\'/}"); CURRENT=\${#words}; _drvs`,
    ),
  fish: (line) =>
    shell('fish', ['--no-config', '-c'], `drvs completion fish | source; complete -C '${line}'`),
};

describe.each(Object.keys(SHELLS))('%s', (name) => {
  const complete = async (line: string): Promise<string[] | null> => {
    const found = await SHELLS[name]!(line);
    return found?.map((each) => each.split('\t')[0] ?? '').sort() ?? null;
  };

  test(
    'completes commands, options, choices and names of what there is',
    async () => {
      const found = await complete('drvs node sh');
      if (found === null) return; // Not installed here.
      expect(found).toEqual(['show']);
      expect(await complete('drvs node show ')).toEqual(['node1', 'node2']);
      expect(await complete('drvs kill aula ')).toEqual(['12', '7']);
      expect(await complete('drvs migrate aula 12 --t')).toEqual(['--to']);
      expect(await complete('drvs token create ci --role su')).toEqual(['supra-admin']);
    },
    TIMEOUT_MS * 2,
  );
});

test('bash takes words parted at = and : for one', async () => {
  expect(await SHELLS.bash?.('drvs migrate aula 12 --to=nod')).toEqual(['node1', 'node2']);
  expect(await SHELLS.bash?.('drvs cp au')).toEqual(['aula:']);
});

test('names are kept for a moment, and for this user only', async () => {
  const before = peer.asked.length;
  await SHELLS.bash?.('drvs tenant show ');
  await SHELLS.bash?.('drvs tenant show ');
  expect(
    peer.asked.slice(before).filter(({ path }) => path === '/api/v1/tenants').length,
  ).toBeLessThanOrEqual(2);
  const kept = await readdir(join(folder, 'cache/drvs/completion'));
  expect(kept.length).toBeGreaterThan(0);
});
