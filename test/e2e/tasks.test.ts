import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ROOT, type Stack, startStack } from '../support/stack.js';
import { asPattern, isAsWritten, parseTaskPage, type Section, withOutputs } from '../support/task-page.js';

/** All pages run on one cluster, in the order of their index, each as it is written. */
const FOLDER = join(ROOT, 'docs/api/tasks');
const INDEX = await readFile(join(FOLDER, 'README.md'), 'utf8');
const PAGES = [...INDEX.matchAll(/\]\((\w[\w-]*\.md)\)/g)].map(([, name]) => name!);
const WAYS = ['Command line', 'REST', 'GraphQL'];
const BLOCK_TIMEOUT_MS = 120_000;

let stack: Stack;
let folder: string;
/** What the index says to do first, as the shell remembers it. */
let prelude: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drvs-tasks-'));
  stack = await startStack('--no-demo', '--no-portal', '--nodes', '4');
  await mkdir(join(folder, 'bin'));
  await symlink(join(ROOT, 'drvs'), join(folder, 'bin/drvs'));
  const sections = parseTaskPage(INDEX);
  const script = sections.flatMap(({ blocks }) => blocks.map((block) => block.script)).join('\n');
  prelude = await bash(`${script}\ndeclare -p DRVS_URL DRVS_TOKEN; declare -f`, join(folder, 'setup'));
}, 300_000);
afterAll(async () => {
  await stack?.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

/** @returns what it printed on standard output @throws Error with all of it when it fails */
async function bash(script: string, cwd: string): Promise<string> {
  await mkdir(cwd, { recursive: true });
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${join(folder, 'bin')}:${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
      HOME: folder,
      LANG: 'C.UTF-8',
      DRVS_URL: stack.url,
      DRVS_TOKEN: stack.token,
      DRVS_HOME: ROOT,
      DRVS_SKIP_INSTALL: '1',
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), BLOCK_TIMEOUT_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearTimeout(timer);
  if (code === 0) return stdout;
  throw new Error(`bash ended with ${code}\n${stdout}\n${stderr}`);
}

/** Runs the blocks of a section one after another in one shell. @returns what each printed, by its line */
async function runSection({ title, blocks }: Section, page: string): Promise<Map<number, string>> {
  const outputs = join(folder, page, title || 'before');
  await mkdir(outputs, { recursive: true });
  const file = (line: number): string => join(outputs, String(line));
  const script = blocks.map(
    ({ line, script: text }) => `echo 'line ${line}' >&2\n{\n${text}\n} > '${file(line)}'`,
  );
  try {
    await bash([prelude, ...script].join('\n'), outputs);
  } catch (error) {
    const printed = await Promise.all(
      blocks.map(async ({ line }) => readFile(file(line), 'utf8').catch(() => '')),
    );
    throw new Error(`${page}, ${title}: ${(error as Error).message}\n${printed.join('\n')}`);
  }
  return new Map(
    await Promise.all(
      blocks.map(async ({ line }): Promise<[number, string]> => [line, await readFile(file(line), 'utf8')]),
    ),
  );
}

test('the index names every page, and every page has all three ways', async () => {
  const there = (await readdir(FOLDER)).filter((name) => name.endsWith('.md') && name !== 'README.md');
  expect([...PAGES].sort()).toEqual(there.sort());
  expect(PAGES.length).toBeGreaterThanOrEqual(10);
  for (const page of PAGES) {
    const titles = parseTaskPage(await readFile(join(FOLDER, page), 'utf8')).map(({ title }) => title);
    expect([page, titles.filter((title) => WAYS.includes(title))]).toEqual([page, WAYS]);
  }
});

describe.each(PAGES)('%s does what it says', (page) => {
  const path = join(FOLDER, page);

  // With UPDATE_TASKS=1 what is printed is written into the page; it is to be read before it is kept.
  test('by each way', async () => {
    const markdown = await readFile(path, 'utf8');
    const written = new Map<number, string>();
    const faults: string[] = [];
    for (const section of parseTaskPage(markdown)) {
      const printed = await runSection(section, page);
      for (const { line, output } of section.blocks) {
        const text = printed.get(line) ?? '';
        if (output === null || isAsWritten(output.text, text)) continue;
        faults.push(`${page}:${line} prints\n${text}\nand not\n${output.text}`);
        written.set(line, asPattern(text));
      }
    }
    if (process.env.UPDATE_TASKS) await writeFile(path, withOutputs(markdown, written));
    else expect(faults.join('\n\n')).toBe('');
  }, 180_000);
});
