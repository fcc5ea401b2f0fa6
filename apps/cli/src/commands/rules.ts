import type { DrvmRulesView } from '@drvs/contracts';
import type { Command } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { usage } from '../failure.js';
import { renderFacts, renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';

const RULES: Readonly<Record<string, string>> = {
  affinity: 'affinity',
  'anti-affinity': 'antiAffinity',
  require: 'require',
  forbid: 'forbid',
  tolerate: 'tolerate',
};

export function registerRules(drvm: Command, shell: Shell): void {
  drvm
    .command('rules')
    .description('show or change on which nodes a DRVM may be; nothing moves because of it')
    .argument('<drvm>')
    .argument(
      '[changes...]',
      'lists that replace those before: affinity=aula anti-affinity=banco,cine require=ssd forbid=old tolerate=; empty takes a rule away',
    )
    .action(async (name: string, words: string[]) => {
      const client = await shell.client();
      const path = `${drvmPath(name)}/rules`;
      const rules =
        words.length === 0
          ? await client.get<DrvmRulesView>(path)
          : await client.patch<DrvmRulesView>(path, parseRules(words));
      shell.answer(rules, renderRules);
    });
}

export function parseRules(words: readonly string[]): Record<string, string[]> {
  const change: Record<string, string[]> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    const field = RULES[word.slice(0, Math.max(at, 0))];
    if (field === undefined) {
      throw usage(
        `"${word}" is no rule of a DRVM`,
        `Write one of ${Object.keys(RULES).join(', ')}, as require=ssd.`,
      );
    }
    if (field in change) throw usage(`${word.slice(0, at)} is given twice`);
    // A trait may itself hold "=", as arch=x64 does.
    change[field] = word
      .slice(at + 1)
      .split(',')
      .map((each) => each.trim())
      .filter((each) => each !== '');
  }
  return change;
}

function renderRules(rules: DrvmRulesView): string {
  const list = (words: readonly string[]): string | null => (words.length === 0 ? null : words.join(', '));
  const facts = renderFacts([
    ['DRVM', rules.drvm],
    ['Only with', list(rules.affinity)],
    ['Apart from', list(rules.antiAffinity)],
    ['Nodes have', list(rules.require)],
    ['Nodes have not', list(rules.forbid)],
    ['Tolerates', list(rules.tolerate)],
  ]);
  if (rules.broken.length === 0) return `${facts}\nIts slices keep them.\n`;
  const table = renderTable(
    ['BROKEN ON', 'RULE', 'WHY'],
    rules.broken.map(({ node, rule, reason }) => [node, rule, reason]),
  );
  return `${facts}\n${table}\nNothing moves by itself for it. To mend it: drvs plan balance\n`;
}
