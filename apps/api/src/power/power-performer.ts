import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import type { PlannedStep } from '../operations/operation-plan.js';
import type { OperationContext, StepOutcome } from '../operations/step-performer.js';
import { PowerService } from './power.service.js';

export const PowerWork = z.object({
  nodeId: z.string(),
  node: z.string(),
  force: z.boolean().optional(),
  reopens: z.boolean().optional(),
});

/** Carries out `node.power-off` and `node.power-on`. */
@Injectable()
export class PowerPerformer {
  constructor(private readonly power: PowerService) {}

  async perform(
    { action }: PlannedStep,
    context: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const { nodeId, node, force, reopens } = PowerWork.parse(context.params);
    const all = { ...options, operationId: context.operationId, by: context.requestedBy, force, reopens };
    if (action === 'switch-off') await this.power.switchOff(nodeId, all);
    else await this.power.switchOn(nodeId, all);
    return { result: { node, power: action === 'switch-off' ? 'off' : 'on' } };
  }
}
