import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { registerAlert } from './commands/alert.js';
import { registerAllocation } from './commands/allocation.js';
import { registerCompletion } from './commands/completion.js';
import { registerCopy } from './commands/copy.js';
import { registerDrvm } from './commands/drvm.js';
import { registerEnergy } from './commands/energy.js';
import { registerEvent } from './commands/event.js';
import { registerInventory } from './commands/inventory.js';
import { registerLoan } from './commands/loan.js';
import { registerLogin } from './commands/login.js';
import { registerNode } from './commands/node.js';
import { registerOperation } from './commands/operation.js';
import { registerPlan } from './commands/plan.js';
import { registerPolicy } from './commands/policy.js';
import { registerProcess } from './commands/process.js';
import { registerProtocols } from './commands/protocols.js';
import { registerRun, separateProgram } from './commands/run.js';
import { registerSchedule } from './commands/schedule.js';
import { registerSetting } from './commands/setting.js';
import { registerSim } from './commands/sim.js';
import { registerStack } from './commands/stack.js';
import { registerTelemetry } from './commands/telemetry.js';
import { registerTemplate } from './commands/template.js';
import { registerTenant } from './commands/tenant.js';
import { registerToken } from './commands/token.js';
import { registerTop } from './commands/top.js';
import { registerUsage } from './commands/usage.js';
import { registerUser } from './commands/user.js';
import { registerWebhook } from './commands/webhook.js';
import { addExamples } from './examples.js';
import { parseDurationSeconds } from './quantities.js';
import type { Shell } from './shell.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export function buildProgram(shell: Shell): Command {
  const program = new Command('drvs')
    .description('virtual machines larger than any node of the cluster')
    .version(version)
    .option('--json', 'the answer as one JSON value on standard output, errors as one on standard error')
    .option(
      '--deadline <duration>',
      'what a command starts must have ended by then, else it is undone; such as 10m',
      parseDurationSeconds,
    )
    .configureHelp({ showGlobalOptions: true })
    // Errors are printed in one place, in main.
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .showSuggestionAfterError();
  program.hook('preAction', () => {
    const { json, deadline } = program.opts<{ json?: boolean; deadline?: number }>();
    shell.isJson = json === true;
    shell.deadlineSeconds = deadline ?? null;
  });
  registerStack(program, shell);
  registerLogin(program, shell);
  registerNode(program, shell);
  registerTenant(program, shell);
  registerUser(program, shell);
  registerToken(program, shell);
  registerDrvm(program, shell);
  registerLoan(program, shell);
  registerAllocation(program, shell);
  registerInventory(program, shell);
  registerTemplate(program, shell);
  registerRun(program, shell);
  registerProcess(program, shell);
  registerCopy(program, shell);
  registerOperation(program, shell);
  registerPlan(program, shell);
  registerPolicy(program, shell);
  registerSchedule(program, shell);
  registerTop(program, shell);
  registerTelemetry(program, shell);
  registerUsage(program, shell);
  registerAlert(program, shell);
  registerWebhook(program, shell);
  registerSetting(program, shell);
  registerEnergy(program, shell);
  registerEvent(program, shell);
  registerSim(program, shell);
  registerProtocols(program, shell);
  registerCompletion(program, shell);
  addExamples(program);
  return program;
}

/** The words as the parser is to see them: what follows the program of `run` is that program's own. */
export function prepareWords(program: Command, words: readonly string[]): string[] {
  const at = words.findIndex((word) => !word.startsWith('-'));
  if (words[at] !== 'run') return [...words];
  const run = program.commands.find((command) => command.name() === 'run');
  const takesValue = (word: string): boolean =>
    run?.options.some(({ long, short, required }) => required && (long === word || short === word)) ?? false;
  return [...words.slice(0, at + 1), ...separateProgram(words.slice(at + 1), takesValue)];
}
