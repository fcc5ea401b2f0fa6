import type { ResourceAmounts } from '@drvs/contracts';
import type { PlacementRequest } from '@drvs/policy';
import { z } from 'zod';
import { cpuToMilli } from '../allocations/amounts.js';
import { LeaseTerms } from '../leases/lease-request.js';
import { Toleration, Trait } from '../nodes/inventory-request.js';

const MAX_WORDS = 32;
const MAX_AFFINITIES = 16;
const MAX_DEVICE_NEEDS = 8;
const MAX_DEVICES_OF_A_NEED = 64;
const MAX_AMOUNT = 1_000_000_000;

/** What a request says of where its slices may be, beside how much they are. */
export const PLACEMENT_TERMS = {
  /** Up to this it may borrow what is idle; a class that is left out has no more than it is guaranteed. */
  ceiling: z
    .strictObject({
      cpu: z.number().gt(0).max(10_000).optional(),
      memoryMiB: z.int().min(1).max(MAX_AMOUNT).optional(),
      diskGiB: z.int().min(0).max(MAX_AMOUNT).optional(),
      networkMbps: z.int().min(0).max(MAX_AMOUNT).optional(),
    })
    .optional(),
  /** Traits that each of its nodes has, and that none has. */
  require: z.array(Trait).max(MAX_WORDS).optional(),
  forbid: z.array(Trait).max(MAX_WORDS).optional(),
  /** Taints that it puts up with: key, key=value, or *. */
  tolerate: z.array(Toleration).max(MAX_WORDS).optional(),
  /** No two of its slices in one of these. */
  spreadOver: z.enum(['node', 'rack', 'site']).optional(),
  /** DRVMs: only where all of these are, and nowhere where one of those is. */
  affinity: z.array(z.string().max(200)).max(MAX_AFFINITIES).optional(),
  antiAffinity: z.array(z.string().max(200)).max(MAX_AFFINITIES).optional(),
  devices: z
    .array(
      z.strictObject({
        type: z.string().regex(/^[a-z][a-z0-9-]{0,39}$/),
        count: z.int().min(1).max(MAX_DEVICES_OF_A_NEED).default(1),
        traits: z.array(z.string().max(130)).max(MAX_WORDS).default([]),
      }),
    )
    .max(MAX_DEVICE_NEEDS)
    .optional(),
  /** One of the candidates that were listed, by its id. */
  candidate: z.uuid().optional(),
  /** When it does not fit now: be refused, or wait in the queue. */
  whenFull: z.enum(['refuse', 'wait']).optional(),
  lease: LeaseTerms.optional(),
} as const;

const Terms = z.object(PLACEMENT_TERMS);
export type PlacementTerms = z.infer<typeof Terms>;

/** DRVMs that a request is bound to, by id. */
export interface Affinities {
  together: string[];
  apart: string[];
}
export const NO_AFFINITIES: Affinities = { together: [], apart: [] };

export function placementRules(
  terms: PlacementTerms,
  total: ResourceAmounts,
  { together, apart }: Affinities,
): Partial<PlacementRequest> {
  const { ceiling, require, forbid, tolerate, spreadOver, devices } = terms;
  return {
    ...(ceiling
      ? {
          ceiling: {
            cpuMilli: ceiling.cpu === undefined ? total.cpuMilli : cpuToMilli(ceiling.cpu),
            memoryMiB: ceiling.memoryMiB ?? total.memoryMiB,
            diskGiB: ceiling.diskGiB ?? total.diskGiB,
            networkMbps: ceiling.networkMbps ?? total.networkMbps,
          },
        }
      : {}),
    require,
    forbid,
    tolerate,
    spreadOver,
    devices,
    togetherWith: together,
    apartFrom: apart,
  };
}

/** How many devices of each type are asked for. */
export function devicesAsked({ devices = [] }: PlacementTerms): Record<string, number> {
  const asked: Record<string, number> = {};
  for (const { type, count } of devices) asked[type] = (asked[type] ?? 0) + count;
  return asked;
}
