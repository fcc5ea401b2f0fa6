import {
  type CreateProcessGroup,
  type CreateSwim,
  crc32c,
  DurableLog,
  type FaultKind,
  GateMode,
  type GroupParts,
  type LogEntry,
  type Member,
  type MemberUpdate,
  Raft,
  type RaftMessage,
  type RaftOptions,
  RecordReader,
  type ReplicaId,
  type StorageOperation,
  Swim,
  SyncMachine,
  type SyncResult,
  SyncService,
  type SyncServiceEffect,
  type SyncServiceEvent,
} from '@drvs/drvmm-core';
import { PROCESS_GROUP_MUTATIONS } from './process-group-mutations.js';

/** A mistake that somebody could make in one of the protocols: the real code with one rule wrong. */
export interface ProtocolMutation {
  readonly name: string;
  readonly parts?: Partial<GroupParts>;
  readonly createSwim?: CreateSwim;
  readonly createProcessGroup?: CreateProcessGroup;
  /** Under which faults it shows soonest; all when not said. */
  readonly faults?: readonly FaultKind[];
  readonly faultEveryMs?: number;
  readonly events?: number;
  /** One that shows it. */
  readonly seed: number;
}

type Circumstances = Pick<ProtocolMutation, 'faults' | 'faultEveryMs' | 'events'>;

const raft = (
  name: string,
  seed: number,
  mutant: new (options: RaftOptions) => Raft,
  circumstances: Circumstances = {},
): ProtocolMutation => ({
  name,
  seed,
  parts: { createRaft: (options: RaftOptions) => new mutant(options) },
  ...circumstances,
});
const machine = (name: string, seed: number, mutant: new () => SyncMachine): ProtocolMutation => ({
  name,
  seed,
  parts: { createMachine: () => new mutant() },
});

/** For what shows only when a leader is cut off while others go on. */
const CUT_OFF: Circumstances = { faults: ['partition'], faultEveryMs: 1_000, events: 30_000 };

export const PROTOCOL_MUTATIONS: readonly ProtocolMutation[] = [
  raft(
    'a replica votes twice in a term',
    17,
    class extends Raft {
      protected override hasVoteLeft(_votedFor: ReplicaId, _candidate: ReplicaId): boolean {
        return true;
      }
    },
    { faults: ['crash', 'loss', 'reordering', 'change'], events: 20_000 },
  ),
  raft(
    'a replica votes for one that lacks entries',
    2,
    class extends Raft {
      protected override isUpToDate(_lastIndex: number, _lastTerm: number): boolean {
        return true;
      }
    },
  ),
  raft(
    'half of the voters are taken for a majority',
    2,
    class extends Raft {
      protected override quorumSize(voters: number): number {
        return Math.max(1, Math.floor(voters / 2));
      }
    },
  ),
  raft(
    'a follower does not look at the entry before',
    2,
    class extends Raft {
      protected override matchesPrevious(index: number, _term: number): boolean {
        return this.termAt(index) !== undefined;
      }
    },
  ),
  raft(
    'a follower drops its tail at every append',
    1,
    class extends Raft {
      protected override firstConflict(_entries: readonly LogEntry[]): number {
        return 0;
      }
    },
  ),
  raft(
    'a follower keeps its own entries where they conflict',
    5,
    class extends Raft {
      protected override firstConflict(entries: readonly LogEntry[]): number {
        const at = entries.findIndex(({ index }) => index > this.lastIndex);
        return at < 0 ? entries.length : at;
      }
    },
  ),
  raft(
    'a follower takes all that it has for committed',
    2,
    class extends Raft {
      protected override followerCommit(leaderCommit: number, _lastVerified: number): number {
        return Math.min(leaderCommit, this.lastIndex);
      }
    },
  ),
  raft(
    'a vote is given before it is durable',
    14,
    class extends Raft {
      protected override waitsForStorage(message: RaftMessage): boolean {
        return message.kind !== 'voteReply';
      }
    },
    { faults: ['crash', 'loss', 'reordering'] },
  ),
  raft(
    'entries are acknowledged before they are durable',
    6,
    class extends Raft {
      protected override vouchedIndex(_durableIndex: number, lastIndex: number): number {
        return lastIndex;
      }
    },
    { faults: ['crash', 'loss'] },
  ),
  raft(
    'a leader reads without asking a majority',
    19,
    class extends Raft {
      protected override isRoundAnswered(_round: number, _quorumRound: number): boolean {
        return true;
      }
    },
    CUT_OFF,
  ),
  raft(
    'a new leader reads before it knows what is committed',
    16,
    class extends Raft {
      protected override mayServeReads(): boolean {
        return true;
      }
      override get isCaughtUpLeader(): boolean {
        return this.role === 'leader';
      }
    },
    { faultEveryMs: 400, events: 30_000 },
  ),
  raft(
    'a lease lasts longer than the followers are loyal',
    51,
    class extends Raft {
      protected override leaseMs(): number {
        return 3_000;
      }
    },
    CUT_OFF,
  ),
  raft(
    'a leader begins a change of members before the last one is committed',
    12,
    class extends Raft {
      protected override mayChangeConfiguration(): boolean {
        return true;
      }
    },
    { faults: ['change', 'partition'] },
  ),
  {
    name: 'the log is called durable without a sync',
    seed: 1,
    parts: {
      createLog: (group, recovered) =>
        new (class extends DurableLog {
          protected override appendOperations(
            file: string,
            at: number,
            bytes: Uint8Array,
          ): StorageOperation[] {
            return [{ kind: 'write', file, at, bytes }];
          }
        })(group, recovered),
    },
    faults: ['crash', 'loss'],
  },
  {
    name: 'the old log is removed before the new one is durable',
    seed: 21,
    parts: {
      createLog: (group, recovered) =>
        new (class extends DurableLog {
          protected override replaceOperations(
            old: string | null,
            file: string,
            bytes: Uint8Array,
          ): StorageOperation[] {
            const { length } = bytes;
            const operations = super.replaceOperations(old, file, bytes);
            return length === 0 ? operations : operations.reverse().sort((a, b) => rank(a) - rank(b));
          }
        })(group, recovered),
    },
    faults: ['crash'],
    faultEveryMs: 300,
    events: 30_000,
  },
  {
    name: 'records on disk are believed whatever their checksum',
    seed: 25,
    parts: {
      createReader: () =>
        new (class extends RecordReader {
          protected override isIntact(): boolean {
            return true;
          }
        })(),
    },
    faults: ['crash', 'loss'],
  },
  {
    name: 'frames are believed whatever their checksum',
    seed: 1,
    parts: {
      createService: (options) =>
        new (class extends SyncService {
          override step(event: SyncServiceEvent, nowMs: number): SyncServiceEffect[] {
            return super.step(
              event.kind === 'frame' ? { ...event, frame: resealed(event.frame) } : event,
              nowMs,
            );
          }
        })(options),
    },
    faults: ['corruption', 'crash'],
  },
  machine(
    'an operation that is repeated is done again',
    1,
    class extends SyncMachine {
      protected override resultOf(): SyncResult | undefined {
        return undefined;
      }
    },
  ),
  machine(
    'fencing tokens are given twice',
    1,
    class extends SyncMachine {
      protected override tokenAfter(): number {
        return 1;
      }
    },
  ),
  machine(
    'readers are let in beside a writer',
    1,
    class extends SyncMachine {
      protected override isAdmitted(
        ...[holders, request, capacity]: Parameters<SyncMachine['isAdmitted']>
      ): boolean {
        return request.mode === GateMode.Shared || super.isAdmitted(holders, request, capacity);
      }
    },
  ),
  machine(
    'who comes last is served first',
    1,
    class extends SyncMachine {
      protected override nextInLine(queue: readonly unknown[]): number {
        return queue.length - 1;
      }
    },
  ),
  machine(
    'anyone may release a lock',
    7,
    class extends SyncMachine {
      protected override isHold(): boolean {
        return true;
      }
    },
  ),
  machine(
    'locks of a dead session stay held',
    1,
    class extends SyncMachine {
      protected override leavesBehind(): boolean {
        return true;
      }
    },
  ),
  {
    name: 'leases are measured by the clock of whoever leads',
    seed: 5,
    parts: {
      createService: (options) =>
        new (class extends SyncService {
          protected override stampMs(_groupMs: number, _ownMs: number, nowMs: number): number {
            return Math.floor(nowMs);
          }
        })(options),
    },
  },
  {
    name: 'a member does not contradict its death',
    seed: 2,
    createSwim: (options) =>
      new (class extends Swim {
        protected override incarnationAfter(own: number, _said: number): number {
          return own;
        }
      })(options),
    faults: ['crash', 'partition', 'loss', 'pause'],
  },
  {
    name: 'old news of a member is taken for new',
    seed: 1,
    createSwim: (options) =>
      new (class extends Swim {
        protected override isNews(update: MemberUpdate, known: Readonly<Member>): boolean {
          return update.state !== known.state;
        }
      })(options),
    faults: ['crash', 'partition', 'loss', 'pause'],
  },
  {
    name: 'a member raises the incarnation of another',
    seed: 3,
    createSwim: (options) =>
      new (class extends Swim {
        override step(...[event, nowMs]: Parameters<Swim['step']>): ReturnType<Swim['step']> {
          const effects = super.step(event, nowMs);
          for (const effect of effects) if (effect.kind === 'changed') this.#raise(effect.member);
          return effects;
        }
        #raise(member: Readonly<Member>): void {
          const own = this.members.get(member.name);
          if (own !== undefined && own !== this.self && own.state === 2) (own as Member).incarnation++;
        }
      })(options),
    faults: ['crash', 'partition', 'loss', 'pause'],
  },
  ...PROCESS_GROUP_MUTATIONS,
];

/** The old file goes first. */
const rank = ({ kind }: StorageOperation): number => ['remove', 'write', 'sync', 'syncFolder'].indexOf(kind);

/** A frame with a checksum that fits what it has become. */
function resealed(frame: Uint8Array): Uint8Array {
  const copy = Buffer.from(frame);
  copy.writeUInt32LE(crc32c(copy, 4), 0);
  return copy;
}
