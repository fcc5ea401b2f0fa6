import { z } from 'zod';
import { ResourceAmounts } from './resources.js';

/**
 * What an agent and a container say to each other over the container's control socket (RpcPeer on a Unix socket,
 * frames prefixed with their u32 length). Calls from the API for a DRVM come this way too, by `container.call`.
 *
 * Where a call is about the whole DRVM (processes, files) it is made to the container on the DRVM's *home* node,
 * which holds PM, VFS and TTY.
 */

/** One container of a DRVM as its peers see it. */
export const ContainerPeer = z.object({
  /** Unique within the DRVM while it lives; it never changes and is never given again. The kernel's number in IPC. */
  index: z.int().min(0).max(1023),
  nodeId: z.string(),
  nodeName: z.string(),
  host: z.string(),
  port: z.int().min(1).max(65_535),
});
export type ContainerPeer = z.infer<typeof ContainerPeer>;

/** Devices that one container can be given. */
export const DEVICES_PER_CONTAINER = 64;

/** A device of the node that the DRVM has been given, and that its programs see as `/dev/host/NODE/NAME`. */
export const GivenDevice = z.object({
  /** As the agent found it, for instance `character:ttyS0`. */
  key: z.string().max(300),
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/),
  /** On the host. The agent gives the container those alone that it has found itself under this key. */
  path: z.string().max(4096),
});
export type GivenDevice = z.infer<typeof GivenDevice>;

/** All a container needs to start; the agent keeps it on disk and can start the container again without the API. */
export const ContainerSpec = z.object({
  drvmId: z.string(),
  drvmName: z.string(),
  dvos: z.enum(['mol']),
  /** Grows with each change of the spec; an older one never replaces a newer. */
  generation: z.int().min(1),
  index: z.int().min(0).max(1023),
  /** The index of the container that holds PM, VFS and TTY. A container that knows of a later home goes by that. */
  home: z.int().min(0).max(1023).default(0),
  /** Grows by one each time that home moves; where two containers are named as home, the higher one is it. */
  homeEpoch: z.int().min(0).optional(),
  limits: ResourceAmounts,
  /** Of this node. */
  devices: z.array(GivenDevice).max(DEVICES_PER_CONTAINER).optional(),
  /** All containers of the DRVM, this one too. Their indexes may have gaps. */
  peers: z.array(ContainerPeer),
  /** PEM. The DRVM's own authority; nobody outside this DRVM holds a certificate of it. */
  authorityCertificate: z.string(),
  /** PEM, signed by the authority; the key never leaves the node. */
  certificate: z.string(),
});
export type ContainerSpec = z.infer<typeof ContainerSpec>;

/** The DVOS processes as `ps` shows them. */
export const ProcessRow = z.object({
  pid: z.int(),
  ppid: z.int(),
  /** The node's name. */
  node: z.string(),
  state: z.enum(['starting', 'running', 'waiting', 'stopped', 'migrating', 'zombie']),
  cpuMs: z.number(),
  memoryBytes: z.number(),
  command: z.string(),
  endpoint: z.int(),
  startedAt: z.string(),
  exitCode: z.int().nullable(),
  signal: z.string().nullable(),
});
export type ProcessRow = z.infer<typeof ProcessRow>;

export const StartProcess = z.object({
  /** A path inside the DRVM. */
  program: z.string().min(1).max(4096),
  /** argv[1..]; argv[0] is `name`, or the program's path. */
  args: z.array(z.string().max(131_072)).max(4096).default([]),
  name: z.string().max(4096).optional(),
  env: z.record(z.string(), z.string()).default({}),
  /** Directories of the DRVM opened to it as WASI preopens. */
  directories: z
    .array(z.object({ path: z.string().min(1), as: z.string().min(1) }))
    .max(64)
    .default([{ path: '/', as: '/' }]),
  /** A file of the DRVM that is its standard input; without it, standard input is empty. */
  stdinPath: z.string().nullable().default(null),
  /** A node's name; without it the DRVM chooses. */
  node: z.string().nullable().default(null),
  /** Names of nodes that are not to be chosen; they take nothing new. */
  avoid: z.array(z.string()).max(1024).default([]),
  /** Its caller's key: starting twice with the same key starts once. */
  requestKey: z.string().max(200).optional(),
});
export type StartProcess = z.infer<typeof StartProcess>;

export const ExitStatus = z.object({
  /** As the shell shows it: the program's code, or 128 + the signal's number. */
  exitCode: z.int(),
  signal: z.string().nullable(),
  /** Why the DVOS ended it, where it did (a trap, no memory, its node lost). */
  reason: z.string().nullable(),
});
export type ExitStatus = z.infer<typeof ExitStatus>;

export const MigrationResult = z.object({
  pid: z.int(),
  from: z.string(),
  to: z.string(),
  bytes: z.number(),
  pauseMs: z.number(),
  totalMs: z.number(),
  rounds: z.int(),
});
export type MigrationResult = z.infer<typeof MigrationResult>;

/** The container that is home, with the epoch under which it is. */
export const HomePlace = z.object({ index: z.int().min(0).max(1023), epoch: z.int().min(0) });
export type HomePlace = z.infer<typeof HomePlace>;

export const HomeMoveResult = z.object({
  /** What the next specs are to say: `home` and `homeEpoch`. */
  home: z.int(),
  homeEpoch: z.int(),
  /** Copied over the link, files and state together. */
  bytes: z.number(),
  files: z.int(),
  /** For so long no system call was answered. */
  pauseMs: z.number(),
  totalMs: z.number(),
  /** Copies made while everything ran, and the last one. */
  rounds: z.int(),
});
export type HomeMoveResult = z.infer<typeof HomeMoveResult>;

export const FileStat = z.object({
  path: z.string(),
  kind: z.enum(['file', 'directory', 'symlink', 'device']),
  size: z.number(),
  mode: z.int(),
  modifiedAt: z.string(),
});
export type FileStat = z.infer<typeof FileStat>;

/** Reads and writes that went to a disk, those that were answered from memory left out. */
export const DiskCounters = z.object({
  readBytes: z.number().min(0),
  writtenBytes: z.number().min(0),
  operations: z.number().min(0),
});
export type DiskCounters = z.infer<typeof DiskCounters>;

/** Methods of a container. Those marked (home) are served by the home container only. */
export const ContainerMethods = {
  /** Answers at once; also the liveness check. */
  'container.status': {
    params: z.object({}),
    result: z.object({
      drvmId: z.string(),
      index: z.int(),
      state: z.enum(['starting', 'running', 'degraded', 'stopping']),
      /** Why it is not `running`. */
      detail: z.string(),
      incarnation: z.string(),
      osPid: z.int(),
      processes: z.int(),
      guestMemoryBytes: z.number(),
      residentBytes: z.number(),
      cpuMs: z.number(),
      links: z.array(z.object({ index: z.int(), state: z.enum(['up', 'down']) })),
      /** To and from its peers since it started, without TLS; how often and how long its limit has made frames wait. */
      network: z
        .object({
          sentBytes: z.number(),
          receivedBytes: z.number().default(0),
          heldTimes: z.int(),
          heldMs: z.number(),
        })
        .default({ sentBytes: 0, receivedBytes: 0, heldTimes: 0, heldMs: 0 }),
      /** Of the files of the DRVM, read from the disk and written to it since it started, while it was home. */
      disk: DiskCounters.default({ readBytes: 0, writtenBytes: 0, operations: 0 }),
      /** Home, as this container knows it. */
      home: HomePlace.default({ index: 0, epoch: 0 }),
    }),
  },
  /**
   * A newer spec: other peers or limits, at once and without a restart. An older one changes nothing. Refused as a whole
   * (StateConflict) when guests use more memory, or files more disk, than it allows, and when a node that it
   * leaves out still has processes or is home.
   */
  'container.update': { params: ContainerSpec, result: z.object({}) },
  /** Ends guests (SIGTERM, then SIGKILL after graceMs), flushes the file system, answers, exits. */
  'container.stop': { params: z.object({ graceMs: z.number() }), result: z.object({}) },
  /** (home) */
  'process.list': { params: z.object({}), result: z.array(ProcessRow) },
  /** (home) Starts a program that is in the file system. */
  'process.start': { params: StartProcess, result: z.object({ pid: z.int(), node: z.string() }) },
  /** (home) `signal` is a name (SIGTERM or TERM) or a number. */
  'process.kill': {
    params: z.object({ pid: z.int(), signal: z.string().default('SIGTERM') }),
    result: z.object({ pid: z.int(), signal: z.string() }),
  },
  /** (home) Answers when the process has ended. */
  'process.wait': { params: z.object({ pid: z.int() }), result: ExitStatus },
  /**
   * (home) The output kept of a process, from a byte offset. Chunks: {stream: 'stdout'|'stderr', offset} + bytes.
   * With follow it goes on until the process has ended and all is sent. `lost`: bytes before the kept part.
   */
  'process.output': {
    params: z.object({ pid: z.int(), offset: z.number().default(0), follow: z.boolean().default(false) }),
    result: z.object({ nextOffset: z.number(), lost: z.number(), exit: ExitStatus.nullable() }),
  },
  /** (home) The migration mechanism, with the place said by the caller; the same key twice gives the same answer. */
  'process.migrate': {
    params: z.object({ pid: z.int(), to: z.string(), requestKey: z.string().max(200) }),
    result: MigrationResult,
  },
  /**
   * (home) Makes container `to` home: the files, the process table, open files and output move there while programs run,
   * with a short pause at the end. Refused or failed, all stays where it is. The same key twice gives the same answer;
   * asked for the container that is home already, it does nothing.
   */
  'home.move': {
    params: z.object({ to: z.int().min(0).max(1023), requestKey: z.string().max(200) }),
    result: HomeMoveResult,
  },
  /** (home) Writes the body at `offset`, making the file (and with `parents` its directories). `truncate` first. */
  'file.write': {
    params: z.object({
      path: z.string(),
      offset: z.number().default(0),
      truncate: z.boolean().default(false),
      parents: z.boolean().default(false),
      mode: z.int().default(0o644),
    }),
    result: z.object({ size: z.number() }),
  },
  /** (home) Result's body holds the bytes, at most 1 MiB. */
  'file.read': {
    params: z.object({
      path: z.string(),
      offset: z.number().default(0),
      length: z.number().default(1_048_576),
    }),
    result: z.object({ size: z.number(), eof: z.boolean() }),
  },
  'file.stat': { params: z.object({ path: z.string() }), result: FileStat },
  'file.list': { params: z.object({ path: z.string() }), result: z.array(FileStat) },
  'file.makeDirectory': {
    params: z.object({ path: z.string(), parents: z.boolean().default(false) }),
    result: z.object({}),
  },
  'file.rename': { params: z.object({ from: z.string(), to: z.string() }), result: z.object({}) },
  'file.remove': {
    params: z.object({ path: z.string(), recursive: z.boolean().default(false) }),
    result: z.object({}),
  },
} as const;
export type ContainerMethod = keyof typeof ContainerMethods;

/** What a container asks of its agent over the same socket. */
export const AgentServices = {
  /**
   * Body: a WebAssembly module. Result's body: the module made ready for migration (fuel, safe points, asyncify).
   * Runs in a process of its own with limits of its own. Errors: NotWebAssembly, UnsupportedModule, Timeout.
   */
  'loader.instrument': { params: z.object({ sha256: z.string() }), result: z.object({ sha256: z.string() }) },
} as const;

/** One-way, container → agent → API. */
export const ContainerEvent = z.object({
  kind: z.enum([
    'process.started',
    'process.exited',
    'process.migrated',
    'process.migration-failed',
    'peer.lost',
    'peer.back',
    'system.restarted',
    'home.moved',
    'device.plugged',
    'device.unplugged',
  ]),
  drvmId: z.string(),
  pid: z.int().nullable(),
  node: z.string(),
  text: z.string(),
  at: z.string(),
});
export type ContainerEvent = z.infer<typeof ContainerEvent>;
