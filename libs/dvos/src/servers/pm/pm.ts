import { EINVAL, type Endpoint, EPERM, ESRCH, Message, OK, PM } from '@drvs/drvmm-core';
import { signalByNumber } from '../../kernel/signals.js';
import { PM_GETPID, PM_KILL, PM_MIGRATE } from '../../pm-calls.js';
import type { Server, ServerPort } from '../server.js';
import type { ProcessEntry, ProcessTable } from './table.js';

/** What PM has done by the kernels, beyond its own table. */
export interface PmActions {
  /** Sends a signal to a process that lives. */
  signal(entry: ProcessEntry, signal: number): void;
  /** Moves a process; `done` gets the status for the one who asked. */
  migrate(entry: ProcessEntry, index: number, done: (status: number) => void): void;
  /** Whether there is a node of this index. */
  hasNode(index: number): boolean;
}

/** The process manager: the calls that guests make about processes. */
export class Pm implements Server {
  readonly endpoint = PM;
  readonly #answer = new Message();

  constructor(
    private readonly port: ServerPort,
    private readonly table: ProcessTable,
    private readonly actions: PmActions,
  ) {}

  onMessage(message: Message): void {
    const caller = this.table.byEndpoint(message.source);
    if (caller === undefined) {
      this.#reply(message.source, EPERM, 0);
      return;
    }
    switch (message.type) {
      case PM_GETPID:
        this.#reply(caller.endpoint, caller.pid, caller.ppid);
        return;
      case PM_KILL:
        this.#reply(caller.endpoint, this.#kill(message.words[2]!, message.words[3]!), 0);
        return;
      case PM_MIGRATE:
        this.#migrate(caller, message.words[2]!, message.words[3]!);
        return;
      default:
        this.#reply(message.source, EINVAL, 0);
    }
  }

  #kill(pid: number, signal: number): number {
    const target = this.table.byPid(pid);
    if (target === undefined || target.ending !== null) return ESRCH;
    if (signal === 0) return OK;
    if (signalByNumber(signal) === undefined) return EINVAL;
    this.actions.signal(target, signal);
    return OK;
  }

  /** Answered when it is over: the request is still open then, wherever its caller lives by then. */
  #migrate(caller: ProcessEntry, pid: number, index: number): void {
    const target = pid === 0 ? caller : this.table.byPid(pid);
    const { endpoint } = caller;
    if (target === undefined || target.ending !== null) this.#reply(endpoint, ESRCH, 0);
    else if (!this.actions.hasNode(index)) this.#reply(endpoint, EINVAL, 0);
    else this.actions.migrate(target, index, (status) => this.#reply(endpoint, status, 0));
  }

  #reply(to: Endpoint, type: number, word: number): void {
    this.#answer.clear();
    this.#answer.type = type;
    this.#answer.words[2] = word;
    this.port.reply(to, this.#answer);
  }
}
