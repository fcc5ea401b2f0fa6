import type { BindWaits } from './bind-waits.js';
import type { Copies } from './copies.js';
import type { Deadlines } from './deadlines.js';
import type { Delivery } from './delivery.js';
import type { HomeChange } from './home-change.js';
import type { Losses } from './losses.js';
import type { Migration } from './migration.js';
import type { Places } from './places.js';
import type { ProcessTable } from './process-table.js';
import type { Rendezvous } from './rendezvous.js';

/** What was refused; hostile peers make these grow and nothing else. */
export interface IpcCounters {
  localMessages: number;
  framesSent: number;
  framesDelivered: number;
  framesDropped: number;
}

/** The parts of one kernel, as they see each other. */
export interface Parts {
  readonly index: number;
  /** The container that has the servers and the authoritative directory, as far as is known here. */
  home: number;
  readonly bindWaits: BindWaits;
  readonly deadlines: Deadlines;
  /** A clock that never goes back; only differences of it are used. */
  readonly nowMs: () => number;
  readonly homeChange: HomeChange;
  readonly counters: IpcCounters;
  readonly table: ProcessTable;
  readonly places: Places;
  readonly rendezvous: Rendezvous;
  readonly copies: Copies;
  readonly delivery: Delivery;
  readonly losses: Losses;
  readonly migration: Migration;
}
