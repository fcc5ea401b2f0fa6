import type { MigrationModel } from '../planner-policy.js';

const MIB = 1 << 20;

export interface MigrationCost {
  bytes: number;
  pauseMs: number;
  seconds: number;
  /** vCPU seconds that are lost: copying at both ends, and the work that pauses. */
  coreSeconds: number;
}

/**
 * What it costs to move images of these sizes one after another over one stream. A small image is sent while its
 * process pauses; a larger one is sent beforehand, and the pause is that of what changed meanwhile.
 */
export function migrationCost(
  imageBytes: readonly number[],
  stateBytes: number,
  cpuMilli: number,
  model: MigrationModel,
): MigrationCost {
  let bytes = stateBytes;
  let pauseMs = 0;
  for (const image of imageBytes) {
    bytes += image;
    pauseMs += model.pauseMsFixed + model.pauseMsPerMiB * Math.min(image / MIB, model.preCopyFromMiB);
  }
  const seconds = (bytes * 8) / (model.streamMbps * 1e6) + model.fixedSeconds;
  const working = cpuMilli / 1000;
  const meanPauseSeconds = imageBytes.length === 0 ? 0 : pauseMs / 1000 / imageBytes.length;
  return {
    bytes,
    pauseMs: Math.round(pauseMs * 10) / 10,
    seconds: Math.round(seconds * 1000) / 1000,
    coreSeconds: (bytes / (MIB * 1024)) * model.coreSecondsPerGiB + working * meanPauseSeconds,
  };
}
