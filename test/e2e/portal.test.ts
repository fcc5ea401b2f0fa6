import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import type { ProcessRow } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { axeViolations, keepScreenshot, launchBrowser, signIn } from '../support/browser.js';
import { eventually, type Stack, startStack } from '../support/stack.js';

/**
 * The scripts that a page names, packed. React and the framework are 131 KiB of it; what is loaded when it is wanted
 * (charts, dialogs, the palette, notices) is not counted.
 */
const FIRST_LOAD_JS_MAX = 230 * 1024;

/** Nothing on the page stands for what is still on its way. */
const hasArrived = (page: Page) =>
  page.locator('.mantine-Skeleton-root').first().waitFor({ state: 'detached' });

interface Person {
  name: string;
  password: string;
}

describe('the portal, in a real browser on the real stack', () => {
  let stack: Stack;
  let browser: Browser;
  let supra: Person;
  let member: Person;
  let stranger: Person;
  const contexts: BrowserContext[] = [];
  /** By name: who has signed in once need not again. */
  const signedIn = new Map<string, Awaited<ReturnType<BrowserContext['storageState']>>>();

  const open = async (person: Person, options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> => {
    const storageState = signedIn.get(person.name);
    const context = await browser.newContext({
      locale: 'en-GB',
      viewport: { width: 1360, height: 900 },
      storageState,
      ...options,
    });
    contexts.push(context);
    if (storageState === undefined) {
      const page = await signIn(context, stack.url, person.name, person.password);
      signedIn.set(person.name, await context.storageState());
      return page;
    }
    const page = await context.newPage();
    await page.goto(stack.url);
    return page;
  };

  beforeAll(async () => {
    browser = await launchBrowser();
    stack = await startStack();
    await stack.json('tenant', 'create', 'quimica', 'cpu=4', 'memory=4Gi', 'disk=20Gi');
    const user = async (name: string, ...options: string[]): Promise<Person> => {
      const { password } = await stack.json<{ password: string }>('user', 'create', name, ...options);
      return { name, password };
    };
    supra = await user('supra', '--role', 'supra-admin');
    member = await user('marta', '--tenant', 'demo', '--role', 'member');
    stranger = await user('carlos', '--tenant', 'quimica', '--role', 'tenant-admin');
  }, 300_000);
  afterAll(async () => {
    await browser?.close();
    await stack?.stop();
  }, 60_000);

  it('asks who one is, and says so when it is wrong', async () => {
    const context = await browser.newContext({ locale: 'en-GB' });
    contexts.push(context);
    const page = await context.newPage();
    await page.goto(`${stack.url}/drvms`);
    await page.waitForURL(/\/login\?next=/);
    await page.locator('input[autocomplete=username]').fill('supra');
    await page.locator('input[autocomplete=current-password]').fill('not it');
    await page.locator('button[type=submit]').click();
    await page.getByText('User name or password is wrong.').waitFor();
    await page.locator('input[autocomplete=current-password]').fill(supra.password);
    await page.locator('button[type=submit]').click();
    await page.waitForURL(/\/drvms$/);
  }, 60_000);

  it('shows the cluster: nodes, what they have, which DRVM holds what', async () => {
    const page = await open(supra);
    for (const node of ['node1', 'node2', 'node3'])
      await page.getByRole('link', { name: node, exact: true }).waitFor();
    await page.getByRole('link', { name: /aula on node2: 0.2 vCPU/ }).waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    await keepScreenshot(page, 'cluster-light-en');
    await page.getByText('Graph', { exact: true }).click();
    await page
      .getByRole('region', { name: 'DRVMs and the nodes that serve them' })
      .getByRole('link', { name: /^aula/ })
      .waitFor();
    await page.waitForURL(/view=graph/);
    await keepScreenshot(page, 'cluster-graph-light-en');
    await page.getByText('Map', { exact: true }).click();
    expect(await axeViolations(page)).toEqual([]);
  }, 60_000);

  it("shows the demo program's output growing, and migrates it by its button", async () => {
    const page = await open(supra);
    await page.getByRole('link', { name: 'aula', exact: true }).click();
    const output = page.getByTestId('output');
    await eventually('the output grows', async () => {
      const first = (await output.textContent()) ?? '';
      await page.waitForTimeout(500);
      const second = (await output.textContent()) ?? '';
      return first.length > 60 && second.length > first.length && second.startsWith(first.slice(0, 40));
    });
    await keepScreenshot(page, 'drvm-light-en');
    expect(await axeViolations(page)).toEqual([]);

    const [demo] = await stack.json<ProcessRow[]>('ps', 'aula');
    const target = ['node1', 'node2', 'node3'].find((name) => name !== demo?.node)!;
    await page.getByRole('button', { name: `Migrate process ${demo?.pid}` }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('radio', { name: target }).click();
    await dialog.getByRole('button', { name: 'Migrate', exact: true }).click();
    await dialog
      .getByText(new RegExp(`Moved from ${demo?.node} to ${target}: .* sent, paused for`))
      .waitFor();
    await keepScreenshot(page, 'migrated-light-en');
    const row = page.locator(`tr[data-pid="${demo?.pid}"]`);
    await row.getByText(target, { exact: true }).waitFor();
    await dialog.getByRole('button', { name: `Move it back to ${demo?.node}` }).click();
    await row.getByText(demo!.node, { exact: true }).waitFor();
    await dialog.getByText(new RegExp(`Moved from ${target} to ${demo?.node}`)).waitFor();
    await dialog.getByRole('button', { name: 'Close' }).last().click();

    // Dragged, it is asked about in the same dialog; and so by its key.
    await row.dragTo(page.locator(`[data-node="${target}"]`));
    await dialog.getByRole('radio', { name: target }).waitFor();
    expect(await dialog.getByRole('radio', { name: target }).isChecked()).toBe(true);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await row.getByRole('button', { name: /primes/ }).focus();
    await page.keyboard.press('m');
    await dialog.getByText(`Migrate process ${demo?.pid} from ${demo?.node}`).waitFor();
    await page.keyboard.press('Escape');
    const after = ((await output.textContent()) ?? '').length;
    await eventually('it prints on', async () => ((await output.textContent()) ?? '').length > after);
  }, 90_000);

  it('runs a program and shows its end', async () => {
    const page = await open(member);
    await page.goto(`${stack.url}/drvms/aula`);
    await page.getByRole('button', { name: 'Run a program' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Program').fill('/bin/hello');
    await dialog.getByRole('button', { name: 'Run a program' }).click();
    await page.getByText('exit code 0').waitFor();
  }, 60_000);

  it('speaks Spanish, on a phone, in the dark', async () => {
    const page = await open(supra, {
      locale: 'es-AR',
      colorScheme: 'dark',
      viewport: { width: 390, height: 844 },
      isMobile: true,
    });
    await page.getByRole('heading', { name: 'Clúster' }).waitFor();
    await page.getByText('en vivo', { exact: true }).waitFor();
    await keepScreenshot(page, 'cluster-dark-es-phone');
    expect(await axeViolations(page)).toEqual([]);
    await page.goto(`${stack.url}/drvms/aula`);
    await page.getByRole('heading', { name: 'Procesos' }).waitFor();
    await page.locator('tr[data-pid]').first().waitFor();
    await hasArrived(page);
    await keepScreenshot(page, 'drvm-dark-es-phone');
    expect(await axeViolations(page)).toEqual([]);
  }, 60_000);

  it("shows a department's user nothing of another department", async () => {
    const page = await open(stranger);
    await page.goto(`${stack.url}/drvms`);
    await page.getByText('No DRVM yet').waitFor();
    await page.goto(`${stack.url}/drvms/aula`);
    await page.getByText('There is no DRVM aula that you may see').waitFor();
    await page.goto(`${stack.url}/`);
    await page.getByRole('heading', { name: 'Cluster' }).waitFor();
    expect(await page.content()).not.toContain('aula');
  }, 60_000);

  it('plans the draining of a node, carries it out, and tells of it', async () => {
    const page = await open(supra);
    const [demo] = await stack.json<ProcessRow[]>('ps', 'aula');
    const node = demo!.node;
    await page.goto(`${stack.url}/plans`);
    await page.getByText('Drain', { exact: true }).click();
    await page.getByRole('combobox', { name: 'Node' }).selectOption(node);
    await page.getByRole('button', { name: 'Make the plan' }).click();
    const plan = page.getByRole('region', { name: 'Plan' });
    await plan.getByText(`Close ${node} to what is new`).waitFor();
    await plan
      .getByText(new RegExp(`Move process ${demo?.pid} of aula|Move what aula holds`))
      .first()
      .waitFor();
    await keepScreenshot(page, 'plan-light-en');
    expect(await axeViolations(page)).toEqual([]);
    await plan.getByRole('button', { name: /Carry out/ }).click();
    await plan.locator('[role=status][data-state=succeeded]').waitFor({ timeout: 60_000 });
    await plan.getByRole('button', { name: 'Plan the way back' }).click();
    await plan.getByText('Undo', { exact: false }).first().waitFor();
    await page.getByRole('button', { name: /^(Operations|\d+ operations? goe?s? on)$/ }).click();
    const drawer = page.getByRole('dialog', { name: 'Operations' });
    await drawer.getByText('Carry out a plan').first().waitFor();
    await keepScreenshot(page, 'operations-drawer-light-en');
    expect(await axeViolations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.goto(`${stack.url}/activity?q=${node}`);
    await page
      .getByRole('row', { name: new RegExp(node) })
      .first()
      .waitFor();
    await keepScreenshot(page, 'activity-light-en');
    await stack.json('node', 'restore', node);
  }, 120_000);

  it('drains a node by its button, and brings back what left it', async () => {
    const page = await open(supra);
    await page.goto(`${stack.url}/nodes/node2`);
    const dialog = page.getByRole('dialog');
    const done = dialog.locator('[role=status][data-state=succeeded]');
    await page.getByRole('button', { name: 'Drain' }).click();
    await dialog.getByText('node2 is closed to what is new').waitFor();
    await dialog.getByRole('button', { name: 'Drain' }).click();
    await done.waitFor({ timeout: 90_000 });
    await keepScreenshot(page, 'node-drained-light-en');
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('button', { name: 'Restore' }).click();
    await dialog.getByRole('radio', { name: 'Comes back' }).check();
    await dialog.getByRole('button', { name: 'Restore' }).click();
    await done.waitFor({ timeout: 90_000 });
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await page.getByRole('button', { name: 'Drain' }).waitFor();
    await page.getByRole('button', { name: 'Power off' }).click();
    await dialog.getByText('It is not drained').waitFor();
    expect(await dialog.getByRole('button', { name: 'Power off' }).isDisabled()).toBe(true);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
  }, 240_000);

  it('resizes a DRVM that runs, after a look at what would come of it', async () => {
    const page = await open(supra);
    await page.goto(`${stack.url}/drvms/aula`);
    await page.getByRole('button', { name: 'Actions' }).click();
    await page.getByRole('menuitem', { name: 'Resize…' }).click();
    const dialog = page.getByRole('dialog');
    const resize = dialog.getByRole('button', { name: 'Resize' });
    expect(await resize.isDisabled()).toBe(true);
    await dialog.getByLabel('CPU', { exact: true }).fill('0.75');
    await dialog.getByRole('region', { name: 'What would happen' }).getByRole('listitem').first().waitFor();
    await keepScreenshot(page, 'resize-light-en');
    expect(await axeViolations(page)).toEqual([]);
    await resize.click();
    await dialog.locator('[role=status][data-state=succeeded]').waitFor({ timeout: 90_000 });
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    const { nodes } = await stack.json<{ nodes: { cpu: number }[] }>('drvm', 'show', 'aula');
    expect(nodes.reduce((sum, { cpu }) => sum + cpu, 0)).toBeCloseTo(0.75);
    await page.getByRole('img', { name: /^CPU used.* over the last hour/ }).waitFor();
  }, 150_000);

  it('changes what the planners go by, and says what contradicts itself', async () => {
    const page = await open(supra);
    await page.goto(`${stack.url}/energy`);
    await page.getByRole('heading', { name: 'What the planners go by' }).waitFor();
    await page.getByRole('radiogroup', { name: 'Consolidate' }).getByText('Off', { exact: true }).click();
    await page.getByLabel('Nodes are filled up to').fill('95');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText(/the policy contradicts itself/).waitFor();
    expect(await page.getByLabel('Nodes are filled up to').inputValue()).toBe('95 %');
    await page.getByLabel('Nodes are filled up to').fill('70');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The planners go by this now').waitFor();
    await page.getByText('Last changed by').waitFor();
    await keepScreenshot(page, 'energy-light-en');
  }, 60_000);

  it('tells of an alert in the header, and keeps it quiet when told', async () => {
    await stack.json('alert', 'create', 'always', '--metric', 'node.memory', '--below', '101');
    const page = await open(supra);
    const bell = page.getByRole('link', { name: /^\d+ alerts? (is|are) firing$/ });
    await eventually('it fires', async () => {
      await page.reload();
      await page.getByRole('link', { name: /alerts? (is|are) firing$/ }).waitFor();
      await page.waitForTimeout(1_000);
      return (await bell.count()) > 0;
    });
    await bell.click();
    await page
      .getByRole('row', { name: /always/ })
      .first()
      .waitFor();
    await keepScreenshot(page, 'alerts-light-en');
    await page.getByRole('button', { name: /^Silence always · node\/node1/ }).click();
    await page.getByRole('menuitem', { name: 'for an hour' }).click();
    await page.getByRole('button', { name: /^Be told again of always · node\/node1/ }).waitFor();
  }, 120_000);

  it('shows usage, which may be taken along as CSV', async () => {
    const page = await open(supra);
    await page.goto(`${stack.url}/usage`);
    await page.getByRole('row', { name: /^demo/ }).waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Export as CSV' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('usage-tenant-month.csv');
    expect(await readFile(await download.path(), 'utf8')).toMatch(/demo/);
  }, 60_000);

  it('adds a department and a person, whose password is shown once', async () => {
    const page = await open(supra);
    await page.goto(`${stack.url}/departments`);
    await page.getByRole('button', { name: 'Create a department' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('Not a name!');
    await dialog.getByRole('button', { name: 'Create a department' }).click();
    await dialog.getByRole('alert').waitFor();
    await dialog.getByLabel('Name').fill('historia');
    await dialog.getByLabel('vCPU').fill('2');
    await dialog.getByRole('button', { name: 'Create a department' }).click();
    await page.getByRole('row', { name: /^historia/ }).waitFor();
    await page.getByRole('button', { name: 'Add a person' }).click();
    await dialog.getByLabel('Name').fill('hector');
    await dialog.getByRole('combobox', { name: 'Department' }).click();
    await page.getByRole('option', { name: 'historia' }).click();
    await dialog.getByRole('button', { name: 'Add a person' }).click();
    const password = (await dialog.locator('code').textContent()) ?? '';
    await keepScreenshot(page, 'departments-light-en');
    await dialog.getByRole('button', { name: 'Done' }).click();
    const his = await open({ name: 'hector', password });
    await his.getByRole('heading', { name: 'Cluster' }).waitFor();
  }, 60_000);

  it('leads a department from nothing to a program of its own', async () => {
    const page = await open(stranger);
    const steps = page.getByRole('region', { name: 'First steps' });
    await steps.waitFor();
    await keepScreenshot(page, 'first-steps-light-en');
    expect(await axeViolations(page)).toEqual([]);
    await steps.getByRole('link', { name: 'Create a DRVM' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('lab');
    await page.getByRole('textbox', { name: 'CPU' }).fill('0.1');
    await page.getByRole('textbox', { name: 'Memory' }).fill('192');
    await page.getByRole('textbox', { name: 'Disk' }).fill('1');
    await page.getByRole('textbox', { name: 'Number of nodes' }).fill('1');
    const quota = page.getByRole('region', { name: 'Of the department’s quota' });
    await quota.getByText('0.1 / 4 vCPU').waitFor();
    await page.getByText('The same request by CLI, REST and GraphQL').click();
    await page.getByText('drvs drvm create lab --tenant quimica --cpu 0.1 --memory 192Mi').waitFor();
    await page.getByRole('row', { name: /^node\d 0\.1 vCPU/ }).waitFor();
    await keepScreenshot(page, 'new-drvm-light-en');
    await page.getByRole('button', { name: 'Create', exact: true }).click();
    await page.waitForURL(/\/drvms\/lab\?id=/);
    await page.getByRole('button', { name: 'Run a program' }).click({ timeout: 60_000 });
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Program').fill('/bin/hello');
    await eventually(
      'it is started',
      async () => {
        await dialog.getByRole('button', { name: 'Run a program' }).click({ timeout: 2_000 });
        await dialog.waitFor({ state: 'hidden', timeout: 5_000 });
        return true;
      },
      90_000,
    );
    await page.getByText('exit code 0').waitFor();
    await page.goto(stack.url);
    await steps.getByText('Create a DRVM · done').waitFor();
    await steps.getByRole('button', { name: 'Put the first steps aside' }).click();
    await page.reload();
    await page.getByRole('heading', { name: 'Cluster' }).waitFor();
    expect(await steps.count()).toBe(0);
    await page.getByRole('link', { name: 'Show this alone, for a display on a wall' }).click();
    await page.getByRole('navigation', { name: 'Main navigation' }).waitFor({ state: 'hidden' });
    await page.getByRole('link', { name: 'Leave' }).click();
    await page.getByRole('navigation', { name: 'Main navigation' }).waitFor();
  }, 240_000);

  it('is walked through by keys alone', async () => {
    const page = await open(supra);
    await page.getByRole('heading', { name: 'Cluster' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('d');
    await page.waitForURL(/\/drvms$/);
    await page.keyboard.press('Control+k');
    const search = page.getByPlaceholder('Go to a screen, a node or a DRVM…');
    await search.waitFor();
    await page.keyboard.type('node2');
    await page.getByText('node2', { exact: true }).first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/nodes\/node2$/);
    await search.waitFor({ state: 'hidden' });
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  }, 60_000);

  const screens = [
    '/',
    '/?kiosk=1&metric=memoryMiB&view=graph',
    '/drvms',
    '/drvms/aula',
    '/drvms/new',
    '/plans',
    '/energy',
    '/usage',
    '/usage?by=drvm&span=week',
    '/alerts',
    '/alerts?state=resolved',
    '/operations',
    '/activity',
    '/departments',
    '/nodes/node1',
  ];
  it('has no fault of accessibility on any screen, in both languages and themes, and asks nothing of any other host', async () => {
    const hosts = new Set<string>();
    const faults: object[] = [];
    const walk = async (locale: string, colorScheme: 'dark' | 'light') => {
      const page = await open(supra, { locale, colorScheme });
      page.on('request', (request) => hosts.add(new URL(request.url()).host));
      for (const path of screens) {
        await page.goto(`${stack.url}${path}`);
        await page.getByRole('heading', { level: 1 }).waitFor();
        await hasArrived(page);
        if (process.env.TEST_SCREENSHOTS)
          await keepScreenshot(
            page,
            `all${path.replaceAll(/\W/g, '-')}-${colorScheme}-${locale.slice(0, 2)}`,
          );
        for (const violation of await axeViolations(page)) faults.push({ path, colorScheme, ...violation });
      }
    };
    await Promise.all([walk('en-GB', 'dark'), walk('es-AR', 'light')]);
    expect(faults).toEqual([]);
    expect([...hosts]).toEqual([new URL(stack.url).host]);
  }, 240_000);

  it('needs few scripts for the first look at any screen', async () => {
    const sizes = new Map<string, number>();
    const sizeOf = async (script: string): Promise<number> => {
      const known = sizes.get(script);
      if (known !== undefined) return known;
      const size = gzipSync(await (await fetch(`${stack.url}${script}`)).bytes()).byteLength;
      sizes.set(script, size);
      return size;
    };
    const tooLarge: string[] = [];
    for (const path of screens) {
      const html = await (await fetch(`${stack.url}${path}`)).text();
      const scripts = new Set(
        [...html.matchAll(/<script\b[^>]*\bsrc="(\/_next\/[^"]+\.js[^"]*)"[^>]*>/g)]
          .filter(([tag]) => !/nomodule/i.test(tag))
          .map(([, script]) => script!),
      );
      expect(scripts.size).toBeGreaterThan(0);
      let sum = 0;
      for (const script of scripts) sum += await sizeOf(script);
      console.info(`${path}: ${Math.round(sum / 1024)} KiB of JavaScript, packed`);
      if (sum > FIRST_LOAD_JS_MAX) tooLarge.push(`${path}: ${sum}`);
    }
    expect(tooLarge).toEqual([]);
  }, 60_000);
});
