import type { DrvmView } from '@drvs/contracts';
import type { Actor } from '../auth/actor.js';
import { scopeOf } from '../database/actor-statements.js';
import { columnsOf } from '../database/columns.js';
import type { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { DRVM_FIELDS, type DrvmViewRow, drvmViewOf, SLICE_FIELDS } from './drvm-view.js';

type FoundDrvm = Omit<DrvmViewRow, 'tenant' | 'slices'> & { tenantName: string };
type FoundSlice = Omit<DrvmViewRow['slices'][number], 'node'> & { nodeName: string };

const DRVMS = {
  name: 'drvms-by-id',
  text: `SELECT ${columnsOf('drvm', 'd', DRVM_FIELDS)}, t.name AS "tenantName"
    FROM drvm d JOIN tenant t ON t.id = d.tenant_id WHERE d.id = ANY($1::uuid[])`,
};
const SLICES = {
  name: 'slices-by-drvm',
  text: `SELECT ${columnsOf('slice', 's', SLICE_FIELDS)}, n.name AS "nodeName"
    FROM slice s JOIN node n ON n.id = s.node_id WHERE s.drvm_id = ANY($1::uuid[]) ORDER BY s.drvm_id, s.slice_index`,
};

/** DRVMs by id, as they are shown: what is asked most often. Those asked for at the same moment are read together. */
export class DrvmReads {
  readonly #gathered: Gathered<Actor, DrvmView>;

  constructor(database: Database) {
    this.#gathered = new Gathered(async (actor, ids) => {
      const [drvms, slices] = await Promise.all([
        database.read<FoundDrvm>(actor, DRVMS, [ids]),
        database.read<FoundSlice>(actor, SLICES, [ids]),
      ]);
      return viewsOf(drvms, slices);
    });
  }

  /** Undefined when there is none that the actor may see. */
  view(actor: Actor, id: string): Promise<DrvmView | undefined> {
    return this.#gathered.load(scopeOf(actor), actor, id.toLowerCase());
  }
}

function viewsOf(drvms: readonly FoundDrvm[], slices: readonly FoundSlice[]): Map<string, DrvmView> {
  const rows = new Map<string, DrvmViewRow>();
  for (const drvm of drvms) rows.set(drvm.id, { ...drvm, tenant: { name: drvm.tenantName }, slices: [] });
  for (const slice of slices)
    rows.get(slice.drvmId)?.slices.push({ ...slice, node: { name: slice.nodeName } });
  return new Map([...rows].map(([id, row]) => [id, drvmViewOf(row)]));
}
