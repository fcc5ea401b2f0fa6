// Placement: 10,000 single-slice requests among 1,000 nodes through the planners' ledger, against a bare best-fit scan of
// typed arrays that knows nothing but amounts. Both run in turn within each round, on the same requests. Then the
// planners themselves at their stated sizes: a drain of 40 slices, a balance and a consolidation of 1,000 nodes, the
// candidates of an 8-slice DRVM, and how much memory all of it takes. Last, DRVMs committed by the API's own service in
// a PostgreSQL that writes to its disk: in batches over 1,000 nodes, and one by one on one node. Prints one JSON value
// with --json.
import { performance } from 'node:perf_hooks';
import {
  bareDrvm,
  bareNode,
  Ledger,
  listCandidates,
  placeDrvm,
  planBalance,
  planConsolidation,
  planDrain,
  plannerPolicy,
} from '@drvs/policy';
import pg from 'pg';
import { startApi } from './support/api-process.mjs';
import { insertNodes } from './support/cluster-rows.mjs';
import { startPostgres } from './support/postgres.mjs';
import { median, quantile, Report } from './support/report.mjs';

const ROUNDS = 7;
const NODES = 1000;
const REQUESTS = 10_000;
const CLASSES = 4;
const MIB = 1 << 20;

function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}
const whole = (random, from, to) => from + Math.floor(random() * (to - from + 1));
const amounts = (cpuMilli, memoryMiB, diskGiB, networkMbps) => ({
  cpuMilli,
  memoryMiB,
  diskGiB,
  networkMbps,
});

function nodeOf(n, random) {
  const cpu = [16, 32, 64][whole(random, 0, 2)];
  return {
    ...bareNode(`n${n}`, amounts(cpu * 1000, cpu * 4096, 4000, 10_000), `node${n}`),
    traits: [`rack=${n % 40}`, ...(n % 3 === 0 ? ['ssd'] : [])],
    domain: `rack${n % 40}`,
    power: {
      idleWatts: 100,
      fullWatts: 300,
      offWatts: 5,
      bootSeconds: 120,
      isControlled: true,
      hasFailedToWake: false,
    },
    hotSinceMs: 0,
    coldSinceMs: 0,
  };
}

const drvmOf = (d) => ({ ...bareDrvm(`d${d}`, `t${d % 50}`), name: `drvm${d}` });

const report = new Report();

// ── single slices, against the bare scan ────────────────────────────────────────────────────────────────────────
function requestsOf(random) {
  const requests = new Float64Array(REQUESTS * CLASSES);
  for (let r = 0; r < REQUESTS; r++) {
    const cpu = whole(random, 1, 8);
    requests.set(
      [cpu * 250, cpu * whole(random, 256, 1536), whole(random, 1, 80), whole(random, 0, 100)],
      r * CLASSES,
    );
  }
  return requests;
}

/** The peer: nothing but amounts in one flat array, the same measure of best, the first of equals. */
function bareScan(free, inverse, requests) {
  const used = new Uint8Array(free.length / CLASSES);
  for (let r = 0; r < requests.length; r += CLASSES) {
    const cpu = requests[r];
    const memory = requests[r + 1];
    const disk = requests[r + 2];
    const network = requests[r + 3];
    let best = -1;
    let least = Infinity;
    for (let at = 0; at < free.length; at += CLASSES) {
      const a = free[at] - cpu;
      const b = free[at + 1] - memory;
      const c = free[at + 2] - disk;
      const d = free[at + 3] - network;
      if (a < 0 || b < 0 || c < 0 || d < 0) continue;
      const left = a * inverse[at] + b * inverse[at + 1] + c * inverse[at + 2] + d * inverse[at + 3];
      if (left < least) {
        least = left;
        best = at;
      }
    }
    if (best < 0) continue;
    free[best] -= cpu;
    free[best + 1] -= memory;
    free[best + 2] -= disk;
    free[best + 3] -= network;
    used[best / CLASSES] = 1;
  }
  return used.reduce((sum, one) => sum + one, 0);
}

function throughLedger(ledger, requests) {
  const used = new Uint8Array(ledger.nodeCount);
  for (let r = 0; r < requests.length; r += CLASSES) {
    const node = ledger.tightestFit(requests, r, ledger.eligibleFor(0));
    if (node < 0) continue;
    ledger.deduct(node, requests, r);
    used[node] = 1;
  }
  return used.reduce((sum, one) => sum + one, 0);
}

const random = randomFrom(7);
const nodes = Array.from({ length: NODES }, (_, n) => nodeOf(n, random));
const empty = {
  id: 'bench',
  atMs: 0,
  nodes,
  drvms: [drvmOf(0)],
  slices: [],
  processes: [],
  movesLastHour: 0,
};
const ours = [];
const peers = [];
let nodesOurs = 0;
let nodesPeer = 0;
for (let round = -2; round < ROUNDS; round++) {
  const requests = requestsOf(randomFrom(100 + round));
  const ledger = new Ledger(empty);
  const free = ledger.capacity.slice();
  const inverse = free.map((amount) => 1 / amount);
  let begun = performance.now();
  nodesPeer = bareScan(free, inverse, requests);
  const peer = REQUESTS / (performance.now() - begun);
  begun = performance.now();
  nodesOurs = throughLedger(ledger, requests);
  const own = REQUESTS / (performance.now() - begun);
  if (round < 0) continue; // The first rounds are compiled as they run.
  ours.push(own);
  peers.push(peer);
}
report.add({
  name: 'single slice among 1,000 nodes',
  unit: 'thousand placements/s',
  ours,
  peer: 'bare scan',
  peers,
  wanted: { least: 0.4 },
});
report.add({
  name: 'nodes used by 10,000 slices',
  unit: 'nodes',
  ours: [nodesOurs],
  peer: 'bare scan',
  peers: [nodesPeer],
  wanted: { most: 1.02 },
});

// ── the planners at their stated sizes ──────────────────────────────────────────────────────────────────────────
function filled(heat) {
  const chance = randomFrom(11);
  const slices = [];
  const processes = [];
  const drvms = Array.from({ length: 2500 }, (_, d) => drvmOf(d));
  const room = nodes.map(({ total }) => ({ ...total }));
  for (const [d, { id: drvmId }] of drvms.entries()) {
    const first = whole(chance, 0, NODES - 1);
    for (let place = 0; place < 4; place++) {
      const n = (first + place * 37) % NODES;
      const guaranteed = amounts(whole(chance, 1, 5) * 250, whole(chance, 256, 4096), 5, 20);
      if (room[n].cpuMilli < guaranteed.cpuMilli * 1.5 || room[n].memoryMiB < guaranteed.memoryMiB) continue;
      room[n].cpuMilli -= guaranteed.cpuMilli;
      room[n].memoryMiB -= guaranteed.memoryMiB;
      const wanted = Math.round(guaranteed.cpuMilli * heat * (n % 5 === 0 ? 4 : 1) * (0.5 + chance()));
      const one = { drvmId, nodeId: nodes[n].id, movedAtMs: null };
      slices.push({
        ...one,
        guaranteed,
        ceiling: { ...guaranteed, cpuMilli: guaranteed.cpuMilli * 8 },
        held: guaranteed,
        used: { ...guaranteed, cpuMilli: Math.min(wanted, guaranteed.cpuMilli), memoryMiB: 200 },
        wanted: { ...guaranteed, cpuMilli: wanted, memoryMiB: 200 },
        idleSinceMs: null,
      });
      for (let p = 0; p < 3; p++) {
        processes.push({
          ...one,
          pid: place * 3 + p,
          cpuMilli: Math.floor(wanted / 3),
          imageBytes: 4 * MIB,
          replicaGroup: d % 10 === 0 && p === 0 ? 'store' : null,
          isPinned: false,
        });
      }
    }
  }
  return { id: 'filled', atMs: 1e7, nodes, drvms, slices, processes, movesLastHour: 0 };
}

function timed(plan) {
  const times = [];
  let made;
  for (let round = 0; round < 3; round++) {
    const begun = performance.now();
    made = plan();
    times.push(performance.now() - begun);
  }
  return { times, made };
}

const policy = plannerPolicy({
  hotHoldSeconds: 0,
  coldHoldSeconds: 0,
  movesPerHourPerNode: 1000,
  power: { switchesMax: NODES, headroomKept: 0.001, headroomLeast: 0 },
});
const busy = filled(0.6);
const idle = filled(0.1);
const balance = timed(() => planBalance({ snapshot: busy, policy, seed: 1 }));
report.add({
  name: `balance of ${NODES} nodes, ${busy.slices.length} slices, ${balance.made.cost.moves} moves`,
  unit: 'ms',
  ours: balance.times,
  wanted: { most: 2_000 },
});
const consolidation = timed(() => planConsolidation({ snapshot: idle, policy, seed: 1 }));
// No packing can do with fewer nodes than the largest that hold the sum of each class.
const bound = Math.max(
  ...['cpuMilli', 'memoryMiB'].map((name) => {
    let left = idle.slices.reduce((sum, { guaranteed }) => sum + guaranteed[name], 0);
    let count = 0;
    for (const { total } of [...nodes].sort((a, b) => b.total[name] - a.total[name])) {
      if (left <= 0) break;
      left -= total[name];
      count++;
    }
    return count;
  }),
);
report.add({
  name: `consolidation of ${NODES} nodes`,
  unit: 'ms',
  ours: consolidation.times,
  wanted: { most: 10_000 },
});
report.add({
  name: 'nodes on after consolidation',
  unit: 'nodes',
  ours: [consolidation.made.gain.nodesOnAfter],
  peer: 'lower bound',
  peers: [bound],
  wanted: { most: 1.05 },
});
// One node with 40 slices among the others as they are.
const crowd = Array.from({ length: 40 }, (_, d) => ({ ...drvmOf(0), id: `crowd${d}`, name: `crowd${d}` }));
const crowded = {
  ...busy,
  nodes: [...nodes, { ...nodeOf(NODES, randomFrom(1)), id: 'crowded', name: 'crowded' }],
  drvms: [...busy.drvms, ...crowd],
  slices: [
    ...busy.slices,
    ...crowd.map(({ id }) => ({
      ...busy.slices[0],
      drvmId: id,
      nodeId: 'crowded',
      guaranteed: amounts(250, 256, 5, 20),
      held: amounts(250, 256, 5, 20),
    })),
  ],
};
report.add({
  name: 'drain of a node with 40 slices',
  unit: 'ms',
  ours: timed(() => planDrain({ snapshot: crowded, policy, seed: 1 }, 'crowded')).times,
  wanted: { most: 1_000 },
});
const choices = nodes.map(({ id, name, total }) => ({
  id,
  name,
  state: 'up',
  free: total,
  step: amounts(1, 1, 1, 1),
  slices: 0,
  isExclusive: false,
}));
const asked = {
  total: amounts(40_000, 100_000, 40, 100),
  nodes: 8,
  exclusive: false,
  policy: 'spread',
};
const EIGHTS = 300;
const EIGHTS_WARM = 30;
for (const [name, once] of [
  ['an 8-slice DRVM placed', () => placeDrvm(asked, choices)],
  ['10 candidates for an 8-slice DRVM', (seed) => listCandidates(asked, choices, { seed, wanted: 10 })],
]) {
  const times = [];
  for (let r = -EIGHTS_WARM; r < EIGHTS; r++) {
    const begun = performance.now();
    once(r + EIGHTS_WARM);
    if (r >= 0) times.push(performance.now() - begun);
  }
  report.add({
    name: `${name} among 1,000 nodes, 99th of 100`,
    unit: 'ms',
    ours: [quantile(times, 0.99)],
    wanted: { most: 10 },
  });
  report.add({ name: `${name} among 1,000 nodes, median`, unit: 'ms', ours: [median(times)] });
}
report.add({
  name: 'memory of all of the above',
  unit: 'MiB',
  ours: [process.resourceUsage().maxRSS / 1024],
  wanted: { most: 500 },
});

// ── committed, by the API's own service ─────────────────────────────────────────────────────────────────────────
const BATCH = 250;
const BATCHES = 6;
const CLIENTS = 8;
const ONE_BY_ONE = 400;
if (!process.argv.includes('--no-database')) {
  const postgres = await startPostgres();
  // The operations that would build the DRVMs wait: there are no agents.
  const api = await startApi(postgres.url);
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  try {
    await insertNodes(client, NODES, amounts(64_000, 262_144, 4_000, 10_000));
    await client.query('ANALYZE');
    await api.rest('POST', '/tenants', { name: 'bench' });
    const one = (name, more = {}) => ({
      name,
      cpu: 0.1,
      memoryMiB: 200,
      diskGiB: 0,
      policy: 'pack',
      ...more,
    });
    const batches = [];
    for (let b = -1; b < BATCHES; b++) {
      const drvms = Array.from({ length: BATCH }, (_, n) => one(`b${b + 1}n${n}`));
      const begun = performance.now();
      await api.rest('POST', '/drvms/batch', { tenant: 'bench', drvms });
      if (b >= 0) batches.push((BATCH * 1000) / (performance.now() - begun));
    }
    report.add({
      name: `DRVMs committed in batches of ${BATCH} over REST, 1,000 nodes`,
      unit: 'DRVMs/s',
      ours: batches,
      wanted: { least: 500 },
    });
    // The batches were packed: the node of what follows is full of them.
    const emptied = () => client.query('DELETE FROM operation; DELETE FROM drvm');
    await emptied();
    const rates = [];
    for (let round = -1, made = 0; round < 3; round++) {
      const begun = performance.now();
      const end = made + ONE_BY_ONE;
      await Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          while (made < end)
            await api.rest(
              'POST',
              '/drvms',
              one(`h${made++}`, { tenant: 'bench', nodes: ['node1'], cpu: 0.05, memoryMiB: 192 }),
            );
        }),
      );
      if (round >= 0) rates.push((ONE_BY_ONE * 1000) / (performance.now() - begun));
      await emptied();
    }
    report.add({
      name: `DRVMs committed one by one on one node, ${CLIENTS} callers over REST`,
      unit: 'DRVMs/s',
      ours: rates,
      wanted: { least: 150 },
    });
  } finally {
    await client.end();
    await api.stop();
    await postgres.stop();
  }
}
report.end();
process.exit(0);
