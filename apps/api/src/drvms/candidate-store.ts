import { DrvsError, RESOURCE_CLASSES } from '@drvs/contracts';
import type { CandidateSet, PlacementPlan, PlacementRequest, PlannedSlice } from '@drvs/policy';
import type { Database } from '../database/database.js';
import type { Candidate } from '../gen/client.js';
import type { NewDrvm } from './drvm-request.js';

/** What is kept of a candidate; written and read by this version of the API only, for minutes. */
interface Offer {
  slices: PlannedSlice[];
  scores: CandidateSet['scores'];
}

export const offerOf = ({ offer }: Candidate): Offer => offer as unknown as Offer;

/**
 * The plan of a candidate that is claimed.
 * @throws DrvsError NotFound when it is not the tenant's, or has expired; InvalidInput when it was listed for another
 * request
 */
export async function claimedPlan(
  database: Database,
  tenantId: string,
  { candidate }: NewDrvm,
  request: PlacementRequest,
): Promise<PlacementPlan> {
  const row = await database.unrestricted.candidate.findUnique({ where: { id: candidate ?? '' } });
  if (!row || row.tenantId !== tenantId || row.expiresAt.getTime() <= Date.now()) {
    throw new DrvsError('NotFound', `there is no candidate ${candidate}, or it has expired`, {
      field: 'candidate',
      hint: 'List them again: `drvs drvm candidates`.',
    });
  }
  const { slices } = offerOf(row);
  for (const name of RESOURCE_CLASSES) {
    const offered = slices.reduce((sum, { amounts }) => sum + amounts[name], 0);
    if (offered !== request.total[name]) {
      throw new DrvsError(
        'InvalidInput',
        `the candidate is of ${offered} ${name}, and ${request.total[name]} were asked for`,
        {
          field: 'candidate',
          hint: 'Ask for what the candidate was listed for.',
        },
      );
    }
  }
  const devices = slices.flatMap(({ devices: given = [] }) => given).length;
  const asked = (request.devices ?? []).reduce((sum, { count }) => sum + count, 0);
  if (devices !== asked || slices.some(({ exclusive }) => exclusive !== request.exclusive)) {
    throw new DrvsError(
      'InvalidInput',
      'the candidate was listed for other devices, or for another use of its nodes',
      {
        field: 'candidate',
        hint: 'Ask for what the candidate was listed for.',
      },
    );
  }
  return { slices, rejected: [] };
}
