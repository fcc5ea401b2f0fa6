import { ProcessGroup, ViewTraffic, type ViewTrafficOptions } from '@drvs/drvmm-core';
import type { ProtocolMutation } from './protocol-mutations.js';

type Circumstances = Pick<ProtocolMutation, 'faults' | 'faultEveryMs' | 'events'>;

const PARTED: Circumstances = { faults: ['partition', 'loss', 'reordering'] };
const RESTLESS: Circumstances = { faults: ['partition', 'crash', 'change', 'loss', 'reordering'] };

const traffic = (
  name: string,
  seed: number,
  mutant: new (options: ViewTrafficOptions) => ViewTraffic,
  circumstances: Circumstances = RESTLESS,
): ProtocolMutation => ({
  name,
  seed,
  createProcessGroup: (options) => new ProcessGroup({ ...options, createTraffic: (of) => new mutant(of) }),
  ...circumstances,
});
const views = (
  name: string,
  seed: number,
  mutant: typeof ProcessGroup,
  circumstances: Circumstances = RESTLESS,
): ProtocolMutation => ({
  name,
  seed,
  createProcessGroup: (options) => new mutant(options),
  ...circumstances,
});

/** Mistakes in process groups: the real code with one rule wrong. */
export const PROCESS_GROUP_MUTATIONS: readonly ProtocolMutation[] = [
  traffic(
    'a multicast that comes twice is given twice',
    1,
    class extends ViewTraffic {
      protected override isNew(): boolean {
        return true;
      }
    },
    { faults: ['duplication', 'loss'] },
  ),
  traffic(
    'a multicast is given before what its sender knew',
    1,
    class extends ViewTraffic {
      protected override isCausallyNext(): boolean {
        return true;
      }
    },
  ),
  traffic(
    'a totally ordered multicast waits for nobody',
    1,
    class extends ViewTraffic {
      protected override isPast(): boolean {
        return true;
      }
    },
    PARTED,
  ),
  traffic(
    'a multicast is called safe before everyone has it',
    7,
    class extends ViewTraffic {
      protected override isHad(): boolean {
        return true;
      }
    },
  ),
  views(
    'a member goes on taking multicasts after it has said what it has',
    1,
    class extends ProcessGroup {
      protected override isOpen(): boolean {
        return true;
      }
    },
  ),
  views(
    'a member goes into the next view without what others were given in the last',
    1,
    class extends ProcessGroup {
      protected override missing(): ReturnType<ProcessGroup['missing']> {
        return [];
      }
    },
  ),
  views(
    'what waits at the end of a view is dropped',
    1,
    class extends ProcessGroup {
      protected override leftOver(): ReturnType<ProcessGroup['leftOver']> {
        return [];
      }
    },
  ),
  views(
    'a multicast of one view is taken in another',
    3,
    class extends ProcessGroup {
      protected override isOfView(): boolean {
        return true;
      }
    },
  ),
  views(
    'a view is installed though a newer proposal was answered',
    2,
    class extends ProcessGroup {
      protected override isPromised(): boolean {
        return true;
      }
    },
  ),
  views(
    'who comes from another part keeps the state that it had',
    1,
    class extends ProcessGroup {
      protected override needsState(): boolean {
        return false;
      }
    },
  ),
];
