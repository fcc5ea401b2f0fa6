import type { Endpoint } from './endpoint.js';
import type { Grant } from './grants.js';
import { Message } from './message.js';
import type { Owner } from './owner.js';
import type { Privileges } from './privileges.js';

export enum Phase {
  Idle = 0,
  /** Inside a sendrec whose server runs right now. */
  Serving = 1,
  /** As Serving, and the end of the call is known. */
  Answered = 2,
  /** A send waits to be taken, or a sendrec to be taken and answered; here or elsewhere. */
  Outstanding = 3,
  Receiving = 4,
  /** The call ended while the process was frozen; it is told when it thaws. */
  Ended = 5,
  /** As Serving, and the server has handed the request on. */
  Relayed = 6,
}

export enum CallKind {
  Send = 1,
  Sendrec = 2,
  Receive = 3,
  /** A send that is taken at once or not at all. */
  TrySend = 4,
  AwaitBind = 5,
  /** In phase Receiving, and takes no message. */
  AwaitUnbind = 6,
}

/** Where a call was sent to: to be found out. */
export const LOCATING = -1;

/** A sender that waits at its target, or a message posted to a busy server. */
export interface Waiting {
  source: Endpoint;
  sequence: number;
  expectsReply: boolean;
  isPost: boolean;
  /** A local sender's own copy of its call, or a copy made of the frame. */
  message: Message;
  data: Uint8Array;
}

export interface HeldFrame {
  peer: number;
  frame: Uint8Array;
}

export const NO_BYTES = new Uint8Array(0);

/** The kernel's record of one process bound here. All of a migration's IPC state is in it. */
export class LocalProcess {
  phase: Phase = Phase.Idle;
  isDead = false;
  /** (server) its onMessage runs. */
  isBusy = false;
  isFrozen = false;
  /** Its state was packed: from now on nothing of it may change here. */
  isExtracted = false;

  /** Senders in order of arrival; at most one per source, besides posts, whose keys are below any endpoint. */
  readonly queue = new Map<number, Waiting>();
  readonly notifications = new Set<number>();
  /** Callers that wait for a reply of this process -> the sequence of their call. */
  readonly owed = new Map<number, number>();
  /** Processes that receive from this one alone -> the sequence of their call. */
  readonly watchers = new Map<number, number>();
  readonly grants = new Map<number, Grant>();
  nextGrant = 1;

  /** Of the calls made; the present one's is `sequence`. Unsigned 32 bits. */
  sequence = 0;
  callKind: CallKind = CallKind.Sendrec;
  callTarget = 0 as Endpoint;
  readonly callMessage = new Message();
  callData: Uint8Array = NO_BYTES;
  sentTo = LOCATING;
  /** Containers from which the present call was sent or carried along. */
  trail: number[] = [];
  /** While this process is frozen its call cannot be sent; it is when it thaws. */
  needsRouting = false;
  /** The partner's container was lost: home is asked whether the partner had moved away before. */
  isVerifying = false;
  /** (arriving) A container that had to do with its call was lost meanwhile. */
  mustVerify = false;
  /** The place that said it does not know the target. */
  refutedIndex = -1;
  refutedEpoch = 0;

  /** The caller's message during Serving; holds the reply in Answered. */
  syncMessage: Message;
  syncStatus = 0;
  lastData: Uint8Array = NO_BYTES;
  /** What is handed to the owner. */
  readonly inbox = new Message();
  /** When the present call ends with ETIMEDOUT, by the kernel's clock; and its place among the deadlines, or -1. */
  deadlineMs = Number.POSITIVE_INFINITY;
  deadlineAt = -1;
  /** How often the present request was handed on. */
  relays = 0;
  endStatus = 0;
  endData: Uint8Array = NO_BYTES;

  held: HeldFrame[] = [];
  /** Copies that this process asked for and that go on. */
  copies = 0;

  constructor(
    readonly endpoint: Endpoint,
    readonly isServer: boolean,
    readonly owner: Owner,
    readonly privileges: Privileges,
    public epoch: number,
  ) {
    this.syncMessage = this.callMessage;
  }

  /** A receive of it would take a message of `source` now. */
  receivesFrom(source: number, any: number): boolean {
    return (
      this.phase === Phase.Receiving &&
      this.callKind === CallKind.Receive &&
      !this.isFrozen &&
      (this.callTarget === any || this.callTarget === source)
    );
  }

  nextSequence(): number {
    this.sequence = (this.sequence + 1) >>> 0;
    return this.sequence;
  }
}
