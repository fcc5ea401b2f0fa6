import type { Argument, Command, Option } from 'commander';
import { leavesOf } from './command-tree.js';

/** Commands whose use is not plain from their arguments. What is not here gets an example made of its arguments. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  up: ['drvs up --nodes 6 --port 8080 --detach', 'drvs up --data /srv/drvs --no-demo'],
  down: ['drvs down --purge --yes'],
  login: ['drvs login https://drvs.example.org'],
  'node label': ['drvs node label node1 rack=a1 ssd=yes old-'],
  'tenant create': ['drvs tenant create fisica cpu=4 memory=8Gi disk=100Gi'],
  'tenant quota': ['drvs tenant quota fisica cpu=8 disk=none'],
  'tenant member add': ['drvs tenant member add fisica ana --role tenant-admin'],
  'user create': ['drvs user create ana --tenant fisica --role tenant-admin'],
  'token create': ['drvs token create nightly --tenant fisica --role member --expires 30d'],
  'drvm create': [
    'drvs drvm create aula --tenant fisica --cpu 2 --memory 1Gi --disk 8Gi --nodes 2',
    'drvs drvm create aula --tenant fisica --cpu 2 --memory 1Gi --nodes node1,node2 --dry-run',
    'drvs drvm create alumno --tenant fisica --cpu 0.5 --memory 256Mi --count 30',
    'drvs drvm create --tenant fisica --from course.json',
  ],
  'drvm resize': [
    'drvs drvm resize aula cpu=4 memory=2Gi',
    'drvs drvm resize aula nodes=+node4,-node2 --dry-run',
  ],
  'drvm rules': ['drvs drvm rules aula', 'drvs drvm rules aula anti-affinity=banco require=ssd tolerate='],
  'node maintain': [
    'drvs node maintain node1 node2 node3 --rolling --run ./update.sh',
    'drvs node maintain node1 node2 --parallel 2 --power-cycle',
  ],
  'op continue': ['drvs op continue 0192f3a0-0000-7000-8000-000000000000 node1'],
  'webhook create': ['drvs webhook create https://hooks.example.org/drvs --events drvm.*,node.down'],
  usage: ['drvs usage --by drvm --csv', 'drvs usage --from 2026-11-01 --to 2026-12-01'],
  'node power': ['drvs node power node3 off'],
  'node inventory': [
    'drvs node inventory node1',
    'drvs node inventory node1 set cpu.reserved=500 cpu.ratio=1.5',
  ],
  'policy set': [
    'drvs policy set balance=automatic hotUtilisation=0.75',
    'drvs policy set power.nodesMin=2 hotUtilisation=',
  ],
  'drvm lease': [
    'drvs drvm lease aula --until 2026-12-20 --keep 14d',
    'drvs drvm lease aula --for 30d --idle stop:2h',
  ],
  'template create': ['drvs template create redes --cpu 0.5 --memory 512Mi --nodes 2'],
  run: [
    'drvs run aula program.wasm one two',
    'drvs run aula --detach --node node2 --env MODE=fast /bin/primes 1000000',
  ],
  ps: ['drvs ps aula'],
  kill: ['drvs kill aula 12 INT'],
  migrate: ['drvs migrate aula 12 --to node3'],
  logs: ['drvs logs aula 12 --follow'],
  cp: ['drvs cp results.csv aula:/data/', 'drvs cp -r aula:/data backup'],
  'op list': ['drvs op list --drvm aula --state failed'],
  top: ['drvs top aula'],
  events: ['drvs events --follow', 'drvs events --since 120 --json'],
  audit: ['drvs audit --verify'],
  completion: ['drvs completion bash'],
  'sim day': ['drvs sim day --nodes 100 --hours 2 --json'],
};

const ID = '0199f3a2-7c41-7d2e-9b1a-5f0c2e8d4a11';

/** What an argument or option of this name is given in an example. */
const VALUES: Readonly<Record<string, string>> = {
  drvm: 'aula',
  node: 'node1',
  nodes: 'node1',
  tenant: 'fisica',
  user: 'ana',
  pid: '12',
  id: ID,
  to: 'node2',
  from: 'node1',
  url: 'https://drvs.example.org',
  amounts: 'cpu=2 memory=1Gi',
  quota: 'cpu=4',
  labels: 'rack=a1',
  role: 'member',
  cpu: '2',
  memory: '1Gi',
  disk: '8Gi',
  file: 'drvs.csv',
  duration: '1h',
  expires: '1h',
  seconds: '60',
};

/** What `<name>` names, by the group of its command. */
const NAMES: Readonly<Record<string, string>> = {
  drvm: 'aula',
  node: 'node1',
  tenant: 'fisica',
  user: 'ana',
  token: 'nightly',
  template: 'curso',
  schedule: 'nightly',
  webhook: 'pager',
};

/** One line or more that a user may type; every one is parsed by the tests. */
export function examplesOf(path: string, command: Command): readonly string[] {
  return EXAMPLES[path] ?? [made(path, command)];
}

/** Appends the examples to the help of every command. */
export function addExamples(program: Command): void {
  for (const { path, command } of leavesOf(program)) {
    command.addHelpText('after', () => {
      const lines = examplesOf(path, command).map((line) => `  ${line}`);
      return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.join('\n')}`;
    });
  }
}

function made(path: string, command: Command): string {
  const group = path.split(' ')[0] ?? '';
  const words = command.registeredArguments
    .filter(({ required }) => required)
    .map((argument) => argumentValue(argument, group));
  const options = command.options
    .filter(({ mandatory, defaultValue }) => mandatory && defaultValue === undefined)
    .map((option) => `${option.long} ${optionValue(option, group)}`);
  return ['drvs', path, ...words, ...options].join(' ');
}

function argumentValue(argument: Argument, group: string): string {
  const name = argument.name();
  const known = VALUES[name] ?? NAMES[name === 'name' ? group : name];
  // An argument that names its choices: <on|off>.
  return argument.argChoices?.[0] ?? known ?? name.split('|')[0] ?? name;
}

function optionValue(option: Option, group: string): string {
  const name = option.attributeName();
  const placeholder = /<([\w-]+)>/.exec(option.flags)?.[1] ?? name;
  return option.argChoices?.[0] ?? VALUES[name] ?? VALUES[placeholder] ?? NAMES[group] ?? placeholder;
}
