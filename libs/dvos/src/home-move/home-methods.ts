import { DrvsError, HomeMoveResult, HomePlace, type RpcPeer } from '@drvs/contracts';
import { z } from 'zod';

/** Names one attempt to move home. */
const Move = z.object({ move: z.string().min(1).max(64) });
const KeptPath = z
  .string()
  .regex(/^(vfs\/metadata|vfs\/data\/[0-9a-f]{2}\/[0-9a-f]{2,14}|tty\/\d{1,10}\.\d{1,16}|processes\.jsonl)$/);
const Offset = z.number().int().min(0);

/**
 * What the containers of a DRVM say to each other about its home, over the control lane. Only the present home may say
 * what begins with `home.` and has a `move`.
 *
 *     present home                                next home
 *       receive ────────────────────────────────▶ an empty folder
 *       part · cut · removed · program … sync ──▶ round after round, while everything runs here
 *       (freeze) part … install ────────────────▶ the state; all of it durable, loaded, servers bound and paused
 *       (commit: its own record, durable)
 *       activate ───────────────────────────────▶ its own record, durable; goes on; tells all
 */
export const HomeMethods = {
  /** Each to each when a session begins, and from the new home to all: who is home. The answer says the same. */
  'home.known': { params: HomePlace, result: HomePlace },
  'home.receive': {
    params: Move.extend({ epoch: z.int().min(1), usedBytes: z.number(), linked: z.array(z.int()) }),
    result: z.object({}),
  },
  /** Body: bytes of the file from `offset` on. */
  'home.part': { params: Move.extend({ path: KeptPath, offset: Offset }), result: z.object({}) },
  /** The file is that long now. */
  'home.cut': { params: Move.extend({ path: KeptPath, size: Offset }), result: z.object({}) },
  'home.removed': { params: Move.extend({ path: KeptPath }), result: z.object({}) },
  /** Body: the instrumented program. */
  'home.program': { params: Move.extend({ hash: z.string().regex(/^[0-9a-f]{64}$/) }), result: z.object({}) },
  /** What has come so far is on the disk. */
  'home.sync': { params: Move, result: z.object({}) },
  /** Body: HomeState as JSON. Answers when it could be home at once. */
  'home.install': { params: Move, result: z.object({}) },
  'home.activate': {
    params: Move.extend({
      requestKey: z.string(),
      bytes: z.number(),
      files: z.int(),
      rounds: z.int(),
      /** Milliseconds since its system calls wait, and since the move began. */
      frozenMs: z.number(),
      sinceMs: z.number(),
    }),
    result: HomeMoveResult,
  },
  'home.callOff': { params: Move, result: z.object({}) },
} as const;
export type HomeMethod = keyof typeof HomeMethods;
export type HomeParams<M extends HomeMethod> = z.output<(typeof HomeMethods)[M]['params']>;
type Result<M extends HomeMethod> = z.output<(typeof HomeMethods)[M]['result']>;

/** One call; the answer is checked. */
export async function callHome<M extends HomeMethod>(
  rpc: RpcPeer,
  method: M,
  params: HomeParams<M>,
  options: { body?: Uint8Array; timeoutMs?: number } = {},
): Promise<Result<M>> {
  const { result } = await rpc.call(method, params, options);
  return HomeMethods[method].result.parse(result) as Result<M>;
}

/** Told to who asks a container that is not home (any more): ask that one. */
export function homeIsElsewhere(place: HomePlace, name: string): DrvsError {
  return new DrvsError('ContainerUnreachable', `the DRVM’s home is ${name} now`, {
    hint: 'Ask again.',
    details: { home: place.index, homeEpoch: place.epoch },
  });
}

/** What `homeIsElsewhere` said; null for any other error. */
export function elsewhere(error: unknown): HomePlace | null {
  if (!(error instanceof DrvsError) || error.code !== 'ContainerUnreachable') return null;
  const { home: index, homeEpoch: epoch } = error.details ?? {};
  const place = HomePlace.safeParse({ index, epoch });
  return place.success ? place.data : null;
}
