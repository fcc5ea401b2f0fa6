import {
  DrvsError,
  type ExitStatus,
  type OperationView,
  type ProcessRow,
  type StartProcess,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import type { DrvmRow } from '../drvms/drvm-view.js';
import { OperationsService } from '../operations/operations.service.js';
import { HomeService } from './home.service.js';

/** A piece of what a process wrote: bytes of one stream, at their offset in all that it wrote. */
export interface OutputPiece {
  stream: 'stdout' | 'stderr';
  offset: number;
  bytes: Uint8Array;
}

export interface OutputEnd {
  /** Null while the process runs. */
  exit: ExitStatus | null;
  nextOffset: number;
  /** Bytes that are no longer kept. */
  lost: number;
}

const PieceHeader = z.object({ stream: z.enum(['stdout', 'stderr']), offset: z.number() });
/** Starting a program may instrument it first, which takes long for a large one. */
const START_TIMEOUT_MS = 180_000;
/** How a process ended that is no longer listed is known at once. */
const ENDED_WITHIN_MS = 2_000;

/** The processes of a DRVM; it itself knows them, so nothing of this is in the ledger but the migrations. */
@Injectable()
export class ProcessesService {
  constructor(
    private readonly database: Database,
    private readonly home: HomeService,
    private readonly operations: OperationsService,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, drvm: string): Promise<ProcessRow[]> {
    requirePermission(actor, 'process:read');
    return this.#list(await this.home.find(actor, drvm));
  }

  async show(actor: Actor, drvm: string, pid: number): Promise<ProcessRow> {
    requirePermission(actor, 'process:read');
    return this.#show(await this.home.find(actor, drvm), pid);
  }

  async #list(found: DrvmRow): Promise<ProcessRow[]> {
    return (await this.home.call(found, 'process.list', {})).result;
  }

  async #show(found: DrvmRow, pid: number): Promise<ProcessRow> {
    const row = (await this.#list(found)).find((process) => process.pid === pid);
    if (row) return row;
    throw new DrvsError('NotFound', `There is no process ${pid} in ${found.name}`, {
      hint: `It may have ended. See \`drvs ps ${found.name}\`; its output: \`drvs logs ${found.name} ${pid}\`.`,
    });
  }

  async start(actor: Actor, drvm: string, request: StartProcess): Promise<{ pid: number; node: string }> {
    requirePermission(actor, 'process:write');
    const found = await this.home.find(actor, drvm);
    const closed = closedNodes(found);
    if (request.node !== null) requireOpen(closed, request.node, 'node');
    const { result } = await this.home.call(
      found,
      'process.start',
      { ...request, avoid: [...request.avoid, ...closed] },
      { timeoutMs: START_TIMEOUT_MS },
    );
    await this.#record(actor, 'process.start', found.name, found.tenantId, {
      program: request.program,
      ...result,
    });
    return result;
  }

  async kill(
    actor: Actor,
    drvm: string,
    pid: number,
    signal: string,
  ): Promise<{ pid: number; signal: string }> {
    requirePermission(actor, 'process:write');
    const found = await this.home.find(actor, drvm);
    const { result } = await this.home.call(found, 'process.kill', { pid, signal });
    await this.#record(actor, 'process.kill', found.name, found.tenantId, result);
    return result;
  }

  /** @throws DrvsError MigrationUnderWay (as the ledger's unique violation) when this process is migrating */
  async migrate(actor: Actor, drvm: string, pid: number, to: string): Promise<OperationView> {
    requirePermission(actor, 'process:write');
    const found = await this.home.find(actor, drvm);
    const nodes = found.slices.map(({ node }) => node.name);
    if (!nodes.includes(to)) {
      throw new DrvsError('InvalidInput', `${found.name} has no part of a node named ${to}`, {
        hint: `It is on ${nodes.join(', ')}.`,
        field: 'to',
      });
    }
    requireOpen(closedNodes(found), to, 'to');
    await this.#requireAlive(found, pid);
    const operation = await this.database.as(actor, async (tx) => {
      const started = await this.operations.start(tx, {
        kind: 'process.migrate',
        subject: `drvm/${found.name}/pid/${pid}`,
        tenantId: found.tenantId,
        drvmId: found.id,
        params: { pid, to },
        actor,
      });
      await this.audit.append(tx, actor, 'process.migrate', `drvm/${found.name}/pid/${pid}`, found.tenantId, {
        to,
      });
      return started;
    });
    return this.operations.show(actor, operation.id);
  }

  async #requireAlive(found: DrvmRow, pid: number): Promise<void> {
    const { state } = await this.#show(found, pid);
    if (state !== 'zombie') return;
    throw new DrvsError('StateConflict', `Process ${pid} has ended`, {
      hint: 'Only a living process can move.',
    });
  }

  /** Starts a program and answers its process, also when that has ended by then and is no longer listed. */
  async startAndShow(actor: Actor, drvm: string, request: StartProcess): Promise<ProcessRow> {
    const startedAt = new Date().toISOString();
    const { pid, node } = await this.start(actor, drvm, request);
    const listed = (await this.list(actor, drvm)).find((process) => process.pid === pid);
    if (listed) return listed;
    const exit = await this.wait(actor, drvm, pid, ENDED_WITHIN_MS, AbortSignal.timeout(ENDED_WITHIN_MS * 2));
    return {
      pid,
      ppid: 0,
      node,
      state: 'zombie',
      cpuMs: 0,
      memoryBytes: 0,
      command: [request.name ?? request.program, ...request.args].join(' '),
      endpoint: 0,
      startedAt,
      exitCode: exit?.exitCode ?? null,
      signal: exit?.signal ?? null,
    };
  }

  /** Null when it still runs after `timeoutMs`. */
  async wait(
    actor: Actor,
    drvm: string,
    pid: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ExitStatus | null> {
    requirePermission(actor, 'process:read');
    const found = await this.home.find(actor, drvm);
    const patience = AbortSignal.timeout(timeoutMs);
    try {
      const options = { timeoutMs: Number.POSITIVE_INFINITY, signal: AbortSignal.any([signal, patience]) };
      return (await this.home.call(found, 'process.wait', { pid }, options)).result;
    } catch (error) {
      if (patience.aborted && !signal.aborted) return null;
      throw error;
    }
  }

  /**
   * Hands the output kept of a process, from `offset` on, to `take`, piece after piece; the next is fetched when
   * `take` has settled. With `follow` it goes on until the process has ended.
   */
  async output(
    actor: Actor,
    drvm: string,
    request: { pid: number; offset: number; follow: boolean },
    take: (piece: OutputPiece) => void | Promise<void>,
    signal: AbortSignal,
  ): Promise<OutputEnd> {
    requirePermission(actor, 'process:read');
    const found = await this.home.find(actor, drvm);
    const { result } = await this.home.call(found, 'process.output', request, {
      signal,
      timeoutMs: request.follow ? Number.POSITIVE_INFINITY : undefined,
      onChunk: (params, bytes) => take({ ...PieceHeader.parse(params), bytes }),
    });
    return result;
  }

  #record(
    actor: Actor,
    action: string,
    drvmName: string,
    tenantId: string,
    details: Record<string, string | number>,
  ): Promise<void> {
    return this.database.system((tx) =>
      this.audit.append(tx, actor, action, `drvm/${drvmName}`, tenantId, details),
    );
  }
}

/** Names of the nodes of a DRVM that take nothing new. */
function closedNodes({ slices }: DrvmRow): string[] {
  return slices.filter(({ node }) => node.wantedState !== 'active').map(({ node }) => node.name);
}

function requireOpen(closed: readonly string[], node: string, field: string): void {
  if (!closed.includes(node)) return;
  throw new DrvsError('StateConflict', `${node} is being drained and takes nothing new`, {
    hint: `Choose another node, or restore it first: drvs node restore ${node}`,
    field,
  });
}
