import type { OperationView, RESTORE_MODES } from '@drvs/contracts';
import { DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';

/** @param cause written into the operation that carries the plan out, so that whoever began it finds it again */
export interface NodePlanner {
  drain(actor: Actor, node: string, remove: boolean, cause: string): Promise<OperationView>;
  restore(
    actor: Actor,
    node: string,
    mode: (typeof RESTORE_MODES)[number],
    cause: string,
  ): Promise<OperationView>;
}

/** The door by which an operation has plans made: the maker of plans needs operations itself, and so comes here. */
@Injectable()
export class NodePlans {
  #planner: NodePlanner | null = null;

  use(planner: NodePlanner): void {
    this.#planner = planner;
  }

  get planner(): NodePlanner {
    if (this.#planner) return this.#planner;
    throw new DrvsError('Internal', 'Nobody makes plans in this process');
  }
}
