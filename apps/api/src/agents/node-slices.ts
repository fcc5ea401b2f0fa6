import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import type { DrvmState, DrvmWantedState } from '../gen/client.js';

/** What a node should hold, as far as its reports are compared with it. */
export interface ExpectedSlice {
  index: number;
  specGeneration: bigint;
  certificate: string | null;
  drvm: {
    id: string;
    name: string;
    state: DrvmState;
    wantedState: DrvmWantedState;
    /** An operation or a change of a slice is under way: it knows what it does. */
    isBusy: boolean;
  };
}

interface Row {
  node_id: string;
  slice_index: number;
  spec_generation: string;
  certificate: string | null;
  id: string;
  name: string;
  state: DrvmState;
  wanted_state: DrvmWantedState;
  is_busy: boolean;
}

const SLICES = {
  name: 'expected-slices',
  text: `SELECT s.node_id::text, s.slice_index, s.spec_generation::text, s.certificate, d.id::text, d.name, d.state::text,
      d.wanted_state::text,
      EXISTS (SELECT FROM operation o WHERE o.drvm_id = d.id AND o.state IN ('queued', 'running') AND o.kind LIKE 'drvm.%')
        OR EXISTS (SELECT FROM slice_change c WHERE c.drvm_id = d.id AND c.ended_at IS NULL) AS is_busy
    FROM slice s JOIN drvm d ON d.id = s.drvm_id WHERE s.node_id = ANY($1::uuid[])`,
};

/** Reads what nodes should hold; those that report at the same moment are read together. */
@Injectable()
export class NodeSlices {
  readonly #slices = new Gathered<null, ExpectedSlice[]>(async (_, nodeIds) => {
    const { rows } = await this.database.pool.query<Row>({ ...SLICES, values: [nodeIds] });
    const byNode = Map.groupBy(rows, ({ node_id }) => node_id);
    return new Map([...byNode].map(([nodeId, found]) => [nodeId, found.map(expectedOf)]));
  });

  constructor(private readonly database: Database) {}

  async of(nodeId: string): Promise<readonly ExpectedSlice[]> {
    return (await this.#slices.load('', null, nodeId)) ?? [];
  }
}

const expectedOf = (row: Row): ExpectedSlice => ({
  index: row.slice_index,
  specGeneration: BigInt(row.spec_generation),
  certificate: row.certificate,
  drvm: {
    id: row.id,
    name: row.name,
    state: row.state,
    wantedState: row.wanted_state,
    isBusy: row.is_busy,
  },
});
