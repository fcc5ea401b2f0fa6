import type { EnergyRecommendationsView, EnergyReportView, EnergySpan } from '@drvs/contracts';
import type { Command } from 'commander';
import { renderFacts, renderTable } from '../output/table.js';
import type { Shell } from '../shell.js';

export function registerEnergy(program: Command, shell: Shell): void {
  program
    .command('energy')
    .description('what the cluster draws, for whom, and what was saved')
    .option('--advice', 'also what could be switched off now; looks at the running cluster first')
    .action(async (options: { advice?: boolean }) => {
      const client = await shell.client();
      const report = await client.get<EnergyReportView>('/energy');
      const advice = options.advice
        ? await client.get<EnergyRecommendationsView>('/energy/recommendations')
        : undefined;
      shell.answer(
        { ...report, ...(advice ? { advice } : {}) },
        () => renderReport(report) + (advice ? renderAdvice(advice) : ''),
      );
    });
}

/** Watt-hours where a kilowatt-hour would show as nothing. */
export const formatKWh = (kWh: number): string =>
  Math.abs(kWh) < 0.1 ? `${(kWh * 1000).toFixed(1)} Wh` : `${kWh.toFixed(kWh < 10 ? 2 : 1)} kWh`;

const span = ({ kWh, allOnKWh, savedKWh, measured }: EnergySpan): string =>
  `${formatKWh(kWh)} of ${formatKWh(allOnKWh)} with all nodes on: ${formatKWh(savedKWh)} saved; ${Math.round(measured * 100)} % measured`;

function renderReport(report: EnergyReportView): string {
  const { now, nodes, drvms, tenants, forecast } = report;
  const part = (title: string, header: string[], rows: string[][]): string =>
    rows.length === 0 ? '' : `\n${title}\n${renderTable(header, rows)}`;
  return (
    renderFacts([
      ['Now', nodes.length > 0 ? `${now.watts} W; ${now.nodesOn} nodes on, ${now.nodesOff} off` : null],
      ['Today', span(report.today)],
      ['This month', span(report.month)],
      ["Nobody's this month", nodes.length > 0 ? formatKWh(report.unallocatedKWh) : null],
    ]) +
    part(
      'Nodes',
      ['NODE', 'POWER', 'WATTS', 'TODAY', 'MONTH', 'SAVED'],
      nodes.map((node) => [
        node.node,
        node.state,
        `${node.watts} (${node.source})`,
        formatKWh(node.todayKWh),
        formatKWh(node.monthKWh),
        formatKWh(node.savedKWh),
      ]),
    ) +
    part(
      'Departments',
      ['TENANT', 'TODAY', 'MONTH'],
      tenants.map(({ tenant, todayKWh, monthKWh }) => [tenant, formatKWh(todayKWh), formatKWh(monthKWh)]),
    ) +
    part(
      'DRVMs',
      ['DRVM', 'TODAY', 'MONTH'],
      drvms.map(({ drvm, tenant, todayKWh, monthKWh }) => [
        `${tenant}/${drvm}`,
        formatKWh(todayKWh),
        formatKWh(monthKWh),
      ]),
    ) +
    part(
      'Expected demand',
      ['FROM', 'CPU', 'BY'],
      forecast.slice(0, 6).map(({ at, cpu, basis }) => [at, cpu.toFixed(1), basis]),
    ) +
    `\n${report.formula}\n`
  );
}

function renderAdvice({ recommendations, rejected, summary }: EnergyRecommendationsView): string {
  const could =
    recommendations.length === 0
      ? '\nNothing to switch off now.\n'
      : `\nCould be switched off now: drvs plan consolidate --apply\n${renderTable(
          ['NODE', 'SAVES', 'MOVES', 'BECAUSE'],
          recommendations.map(({ node, savedWatts, moves, reason }) => [
            node,
            `${savedWatts} W`,
            String(moves),
            reason,
          ]),
        )}${summary}\n`;
  const stays =
    rejected.length === 0
      ? ''
      : `\nNot now\n${renderTable(
          ['WHAT', 'BECAUSE'],
          rejected.map(({ what, reason }) => [what, reason]),
        )}`;
  return could + stays;
}
