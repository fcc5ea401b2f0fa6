import type { DrvmView } from '@drvs/contracts';
import { formatAgo, formatCpu, formatMiB } from '../quantities.js';
import { renderFacts, renderTable } from './table.js';

/** What is planned of one DRVM, as REST answers a dry run. */
export interface DrvmPlanView {
  id: string;
  kind: string;
  steps: {
    action: string;
    node?: string;
    cpu?: number;
    memoryMiB?: number;
    diskGiB?: number;
    reason: string;
  }[];
  rejected: { what: string; reason: string }[];
}

export function renderDrvm(view: DrvmView): string {
  return (
    renderFacts([
      ['Name', view.name],
      ['Id', view.id],
      ['Department', view.tenant],
      ['DVOS', view.dvos],
      ['State', view.state],
      ['Detail', view.detail],
      ['Created', formatAgo(view.createdAt, Date.now())],
    ]) +
    (view.nodes.length === 0
      ? ''
      : `\n${renderTable(
          ['NODE', 'CPU', 'MEMORY', 'DISK', 'STATE', 'ISOLATION'],
          view.nodes.map((slice) => [
            slice.isHome ? `${slice.node} (home)` : slice.node,
            cpuWords(slice),
            formatMiB(slice.memoryMiB),
            `${slice.diskGiB} GiB`,
            slice.state,
            slice.isolation,
          ]),
        )}`)
  );
}

/** What is guaranteed, and what is held now and may be borrowed where that is something else. */
function cpuWords({ cpu, heldCpu, ceilingCpu }: DrvmView['nodes'][number]): string {
  const held = heldCpu === cpu ? '' : `, holds ${formatCpu(heldCpu)}`;
  const ceiling = ceilingCpu === cpu ? '' : `, up to ${formatCpu(ceilingCpu)}`;
  return `${formatCpu(cpu)}${held}${ceiling}`;
}

export function renderDrvmPlan(plan: DrvmPlanView): string {
  return (
    renderTable(
      ['STEP', 'NODE', 'CPU', 'MEMORY', 'DISK', 'REASON'],
      plan.steps.map((step) => [
        step.action,
        step.node ?? '-',
        step.cpu === undefined ? '-' : formatCpu(step.cpu),
        step.memoryMiB === undefined ? '-' : formatMiB(step.memoryMiB),
        step.diskGiB === undefined ? '-' : `${step.diskGiB} GiB`,
        step.reason,
      ]),
    ) +
    (plan.rejected.length === 0
      ? ''
      : `\n${renderTable(
          ['NOT CHOSEN', 'REASON'],
          plan.rejected.map(({ what, reason }) => [what, reason]),
        )}`)
  );
}
