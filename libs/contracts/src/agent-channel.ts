import { z } from 'zod';
import {
  ContainerEvent,
  ContainerMethods,
  ContainerSpec,
  DiskCounters,
  HomePlace,
} from './container-control.js';
import { NodeCheck } from './node-check.js';
import { NodeInventory } from './resources.js';

/**
 * The channel between the API and an agent: one WebSocket that the agent opens to `GET /agent/v1/channel` with
 * `Authorization: Bearer <node credential>`, carrying RpcPeer frames (one binary message each).
 * An agent gets its credential once, by `POST /agent/v1/enrol` with a one-time token.
 */
export const Enrolment = z.object({
  token: z.string(),
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  inventory: NodeInventory,
});
export type Enrolment = z.infer<typeof Enrolment>;
export const EnrolmentAnswer = z.object({ nodeId: z.string(), credential: z.string() });
export type EnrolmentAnswer = z.infer<typeof EnrolmentAnswer>;

export const ContainerState = z.object({
  drvmId: z.string(),
  generation: z.int(),
  /** `stopped`: known here but not running on purpose; `failed`: it died and the supervisor gave up for now. */
  state: z.enum(['starting', 'running', 'degraded', 'stopped', 'failed']),
  detail: z.string(),
  osPid: z.int().nullable(),
  cpuMs: z.number(),
  residentBytes: z.number(),
  guestMemoryBytes: z.number(),
  processes: z.int(),
  restarts: z.int(),
  /** Of the process whose counters these are: with another one they begin anew. */
  incarnation: z.string().max(100).optional(),
  /** When they were read, by a clock of the agent that never goes back. Milliseconds. */
  countedAtMs: z.number().optional(),
  /** Counted since its process started: reads and writes of the files of the DRVM. */
  io: DiskCounters.optional(),
  /** Counted since its process started: to and from its peers. */
  network: z.object({ receivedBytes: z.number().min(0), sentBytes: z.number().min(0) }).optional(),
  /** What the limits are enforced with, for instance `cpu: cgroup-v1 (500m), memory: cgroup-v1 (512 MiB), pid+mount namespaces`. */
  isolation: z.string(),
  /** The DRVM's home as this container knows it; null while none runs here. */
  home: HomePlace.nullish(),
});
export type ContainerState = z.infer<typeof ContainerState>;

/** Agent → API, an event each HEARTBEAT_MS. */
export const Heartbeat = z.object({
  at: z.string(),
  used: z.object({
    cpuMilli: z.number(),
    memoryMiB: z.number(),
    diskGiB: z.number(),
    networkMbps: z.number(),
  }),
  load1: z.number(),
  containers: z.array(ContainerState),
  /**
   * Joules counted since the agent started, where something counts: by the processor (packages and memory, without the
   * rest of the machine), or by a command of the node's owner (the whole machine).
   */
  energy: z.object({ source: z.enum(['rapl', 'command']), joules: z.number().min(0) }).nullish(),
});
export type Heartbeat = z.infer<typeof Heartbeat>;

export const HEARTBEAT_MS = 1_000;
/** Without a heartbeat for this long a node is shown as down. */
export const NODE_DOWN_AFTER_MS = 8_000;

/**
 * What a witness met: `connected`: something listens there; `refused`: the host is up and nothing listens;
 * `timed-out` and `unreachable`: nobody answered, which is what a dead host and a cut wire look like.
 */
export const WitnessMark = z.object({
  host: z.string(),
  port: z.int(),
  met: z.enum(['connected', 'refused', 'timed-out', 'unreachable']),
});
export type WitnessMark = z.infer<typeof WitnessMark>;

/** API → agent. Each may be done twice with the effect of once. */
export const AgentMethods = {
  /** Makes key and port for this DRVM's container here (kept), answers the certificate request. */
  'drvm.prepare': {
    params: z.object({ drvmId: z.string(), index: z.int() }),
    result: z.object({ certificateRequest: z.string(), host: z.string(), port: z.int() }),
  },
  /** Keeps the spec and sees to it that the container runs under it; answers when it is up. */
  'drvm.start': { params: ContainerSpec, result: ContainerState },
  /**
   * Keeps a newer spec and gives it to the container as it runs: limits, peers, home. Nothing restarts; one that is
   * stopped stays stopped and gets it at its next start. All of it or (with an error) nothing.
   */
  'drvm.update': { params: ContainerSpec, result: ContainerState },
  /** Stops the container; its files stay. */
  'drvm.stop': {
    params: z.object({ drvmId: z.string(), graceMs: z.number().default(5_000) }),
    result: z.object({}),
  },
  /** Stops it and removes all that this node holds of the DRVM. */
  'drvm.delete': { params: z.object({ drvmId: z.string() }), result: z.object({}) },
  /** The burn-in check of CPU, memory, disk and clock: seconds, and harmless beside running containers. */
  'node.check': { params: z.object({}), result: NodeCheck },
  'drvm.list': { params: z.object({}), result: z.array(ContainerState) },
  /** Hands a call on to a container; chunks and bodies pass both ways. */
  'container.call': {
    params: z.object({
      drvmId: z.string(),
      method: z.enum(Object.keys(ContainerMethods) as [keyof typeof ContainerMethods]),
      params: z.unknown(),
    }),
    result: z.unknown(),
  },
  /**
   * Stops the containers and then the host, by the command that the node's owner has set. Answers once that is begun.
   * An agent without such a command refuses: one that shares its host with others must never switch it off.
   */
  'node.shutdown': { params: z.object({}), result: z.object({}) },
  /** Tries to reach another node and says what it met at each address. Nothing is sent over a connection that opens. */
  'node.witness': {
    params: z.object({
      targets: z.array(z.object({ host: z.string().max(255), port: z.int().min(1).max(65_535) })).max(16),
      timeoutMs: z.int().min(100).max(10_000).default(2_000),
    }),
    result: z.array(WitnessMark),
  },
} as const;
export type AgentMethod = keyof typeof AgentMethods;

/** Events agent → API over the channel. */
export const AgentEvents = {
  inventory: NodeInventory,
  heartbeat: Heartbeat,
  'container.event': ContainerEvent,
} as const;
