import { type Command, InvalidArgumentError } from 'commander';
import { EXIT_INTERRUPTED, Exit, Failure } from '../failure.js';
import { renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';
import { type DataFolder, dataFolder } from '../stack/data-folder.js';
import { assertPurgeable, purge, stopStack } from '../stack/down.js';
import { defaultData, repositoryRoot } from '../stack/repository.js';
import { isSupervised, readRunFile } from '../stack/run-file.js';
import { statusOf } from '../stack/status.js';
import { type UpResult, up } from '../stack/up.js';

const FOREGROUND_POLL_MS = 500;

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new InvalidArgumentError('A port is 1 to 65535.');
  return port;
}

function parseCount(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('It is not a number.');
  return Number(text);
}

export function registerStack(program: Command, shell: Shell): void {
  const folderOf = (options: { data?: string }): DataFolder =>
    dataFolder(options.data ?? defaultData(repositoryRoot()));

  program
    .command('up')
    .description('build and start a whole DRVS on this machine')
    .option('--nodes <count>', 'how many nodes this machine is divided into (3)', parseCount)
    .option('--port <port>', 'where portal and API listen (3000)', parsePort)
    .option('--data <dir>', 'where its data is kept (.drvs in the repository)')
    .option('-d, --detach', 'return when all is healthy; `drvs down` stops it')
    .option('--demo', 'with a department, its DRVM and a program computing in it (the default)', true)
    .option('--no-demo', 'without them')
    .option('--no-portal', 'without the web portal')
    .action(
      async (options: {
        nodes?: number;
        port?: number;
        data?: string;
        detach?: boolean;
        demo: boolean;
        portal: boolean;
      }) => {
        const root = repositoryRoot();
        const folder = folderOf(options);
        const result = await up(shell, root, { ...options, data: folder.root });
        shell.answer(result, renderUp);
        if (!options.detach && !result.wasRunning) await stayInForeground(shell, root, folder);
      },
    );

  program
    .command('down')
    .description('stop what `up` started')
    .option('--data <dir>', 'its data folder (.drvs in the repository)')
    .option('--purge', 'remove its data, too')
    .option('-y, --yes', 'do not ask before data is removed')
    .action(async (options: { data?: string; purge?: boolean; yes?: boolean }) => {
      const root = repositoryRoot();
      const folder = folderOf(options);
      if (options.purge) {
        await assertPurgeable(folder);
        await shell.confirm(
          `Remove all data in ${folder.root}, with every DRVM, user and file?`,
          options.yes,
        );
      }
      using _ = shell.interrupts.take((_signal, count) => {
        if (count === 1) shell.note('it is being stopped; ^C again leaves it half stopped');
        else shell.exit(EXIT_INTERRUPTED);
      });
      const ran = await stopStack(root, folder, (text) => shell.note(text));
      if (options.purge) await purge(folder);
      shell.answer({ stopped: ran, purged: options.purge === true, data: folder.root }, () =>
        [ran ? 'stopped' : 'nothing ran', options.purge ? `, ${folder.root} removed` : '', '\n'].join(''),
      );
    });

  program
    .command('status')
    .description('each part of the DRVS on this machine, healthy or why not; exit 1 unless all are healthy')
    .option('--data <dir>', 'its data folder (.drvs in the repository)')
    .action((options: { data?: string }) => {
      const folder = folderOf(options);
      const status = statusOf(folder);
      shell.answer(status, () => {
        if (status.parts.length === 0) return `nothing runs (${folder.root}); start it with \`drvs up\`\n`;
        const table = renderTable(
          ['PART', 'STATE', 'PID', 'DETAIL'],
          status.parts.map(({ name, state, pid, detail }) => [
            name,
            state,
            pid === null ? '-' : String(pid),
            detail,
          ]),
        );
        return `${table}\n${status.healthy ? 'healthy' : 'not healthy'}: ${status.url}\n`;
      });
      if (!status.healthy) throw new Exit(1);
    });
}

function renderUp(result: UpResult): string {
  const lines = [
    result.wasRunning ? 'DRVS runs already' : 'DRVS is up',
    '',
    `  portal and API   ${result.url}`,
    ...(result.user ? [`  user             ${result.user}`] : []),
    ...(result.password
      ? [`  password         ${result.password}   (shown this once; keep it)`]
      : result.user
        ? [`  password         was shown at the first start; a new one: ./drvs user password ${result.user}`]
        : []),
    `  data and logs    ${result.data}`,
    '',
    '  ./drvs drvm list    ./drvs ps aula    ./drvs status    ./drvs down',
  ];
  return `${lines.join('\n')}\n`;
}

/** The stack lives as long as this command; ^C, or closing the terminal, stops it. */
async function stayInForeground(shell: Shell, root: string, folder: DataFolder): Promise<void> {
  shell.note('\nrunning; ^C stops it');
  let isStopping = false;
  using _ = shell.interrupts.take((_signal, count) => {
    if (count > 1) {
      if (count > 2) shell.exit(EXIT_INTERRUPTED);
      shell.note('it is being stopped; ^C again leaves it half stopped');
      return;
    }
    isStopping = true;
    shell.note('\nstopping');
    stopStack(root, folder, (text) => shell.note(text)).then(
      () => shell.exit(0),
      (error: Error) => {
        shell.note(`error: ${error.message}`);
        shell.exit(1);
      },
    );
  });
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, FOREGROUND_POLL_MS));
    if (isStopping || isSupervised(readRunFile(folder))) continue;
    // `down` elsewhere removes run.json last; a supervisor that was killed leaves it.
    if (readRunFile(folder) === null) {
      shell.note('it was stopped');
      return;
    }
    throw new Failure('SupervisorEnded', 'the supervisor was killed; the parts go on without it', {
      hint: '`./drvs up` takes them up again, `./drvs down` stops them.',
    });
  }
}
