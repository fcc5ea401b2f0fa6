import type { ContainerEvent, ContainerMethod, ContainerMethods } from '@drvs/contracts';
import type { z } from 'zod';

/** A DRVM whose containers are OS processes of their own, run from the built files. */
export interface ProcessDrvm {
  readonly events: ContainerEvent[];
  call<M extends ContainerMethod>(
    method: M,
    params: z.input<(typeof ContainerMethods)[M]['params']>,
    options?: {
      at?: number;
      body?: Uint8Array;
      onChunk?: (params: unknown, body: Buffer) => void;
      /** Bytes that came with the result. */
      onBody?: (body: Buffer) => void;
    },
  ): Promise<z.output<(typeof ContainerMethods)[M]['result']>>;
  startContainer(index: number): Promise<void>;
  /** SIGKILL; resolves when the OS process is gone. */
  kill(index: number): Promise<void>;
  /** It kills itself (SIGKILL) when it has taken this step of a move of home. */
  dieAt(index: number, step: string): void;
  isAlive(index: number): boolean;
  /** SIGSTOP, SIGCONT and the like: the process is not waited for. */
  signal(index: number, name: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export function startDrvm(options?: {
  nodes?: number;
  memoryMiB?: number;
  lostAfterMs?: number;
}): Promise<ProcessDrvm>;
