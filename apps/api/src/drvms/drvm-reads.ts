import type { DrvmView } from '@drvs/contracts';
import type { Actor } from '../auth/actor.js';
import { scopeOf } from '../database/actor-statements.js';
import { columnsOf } from '../database/columns.js';
import type { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { DRVM_FIELDS, type DrvmViewRow, drvmViewOf, SLICE_FIELDS } from './drvm-view.js';

type DrvmColumns = Omit<DrvmViewRow, 'tenant' | 'slices'> & { tenantName: string };
type SliceColumns = Omit<DrvmViewRow['slices'][number], 'node'> & { nodeName: string };
/** One for each slice; of a DRVM without any, one whose columns of a slice are null. */
type Found = DrvmColumns & (SliceColumns | { drvmId: null });

/** One statement for both, so that what is shown of them is of one moment. */
const DRVMS = {
  name: 'drvms-by-id',
  text: `SELECT ${columnsOf('drvm', 'd', DRVM_FIELDS)}, t.name AS "tenantName",
      ${columnsOf('slice', 's', SLICE_FIELDS)}, n.name AS "nodeName"
    FROM drvm d JOIN tenant t ON t.id = d.tenant_id
      LEFT JOIN (slice s JOIN node n ON n.id = s.node_id) ON s.drvm_id = d.id
    WHERE d.id = ANY($1::uuid[]) ORDER BY d.id, s.slice_index`,
};

/** DRVMs by id, as they are shown: what is asked most often. Those asked for at the same moment are read together. */
export class DrvmReads {
  readonly #gathered: Gathered<Actor, DrvmView>;

  constructor(database: Database) {
    this.#gathered = new Gathered(async (actor, ids) =>
      viewsOf(await database.read<Found>(actor, DRVMS, [ids])),
    );
  }

  /** Undefined when there is none that the actor may see. */
  view(actor: Actor, id: string): Promise<DrvmView | undefined> {
    return this.#gathered.load(scopeOf(actor), actor, id.toLowerCase());
  }
}

function viewsOf(found: readonly Found[]): Map<string, DrvmView> {
  const rows = new Map<string, DrvmViewRow>();
  for (const one of found) {
    let row = rows.get(one.id);
    if (row === undefined) {
      row = { ...one, tenant: { name: one.tenantName }, slices: [] };
      rows.set(one.id, row);
    }
    if (one.drvmId !== null) row.slices.push({ ...one, node: { name: one.nodeName } });
  }
  return new Map([...rows].map(([id, row]) => [id, drvmViewOf(row)]));
}
