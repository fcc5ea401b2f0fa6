import type { Operation, OperationStep } from '../gen/client.js';
import { type MaintainedNode, maintenanceOf, WorkAnswers } from './maintenance-work.js';
import { maintenanceSteps } from './operation-plan.js';

/** The nodes of which an operation waits to be told that the work on them is done. */
export function awaitedOf(
  operation: Pick<Operation, 'kind' | 'state' | 'params' | 'answers'> & {
    steps: readonly Pick<OperationStep, 'position' | 'state'>[];
  },
): MaintainedNode[] {
  if (operation.kind !== 'node.maintain' || operation.state !== 'running') return [];
  const maintenance = maintenanceOf(operation.params);
  if (maintenance?.work.kind !== 'wait') return [];
  const answers = WorkAnswers.parse(operation.answers);
  const underWay = new Set(
    operation.steps.filter(({ state }) => state === 'running').map(({ position }) => position),
  );
  return maintenanceSteps(maintenance)
    .filter(({ action, position }) => action === 'maintain-work' && underWay.has(position))
    .flatMap(({ nodes = [] }) => nodes)
    .filter(({ id }) => !(id in answers));
}
