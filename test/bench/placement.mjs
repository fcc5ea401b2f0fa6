// Placement: 10,000 single-slice requests among 1,000 nodes through the planners' ledger, against a bare best-fit scan of
// typed arrays that knows nothing but amounts. Both run in turn within each round, on the same requests. Then the
// planners themselves at their stated sizes: a drain of 40 slices, a balance and a consolidation of 1,000 nodes, the
// candidates of an 8-slice DRVM. Prints one JSON value with --json.
import { performance } from 'node:perf_hooks';
import { Ledger, placeDrvm, planBalance, planConsolidation, planDrain, plannerPolicy } from '@drvs/policy';

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
    id: `n${n}`,
    name: `node${n}`,
    state: 'up',
    isCordoned: false,
    isFenced: false,
    total: amounts(cpu * 1000, cpu * 4096, 4000, 10_000),
    reserved: amounts(0, 0, 0, 0),
    ratio: amounts(1, 1, 1, 1),
    traits: [`rack=${n % 40}`, ...(n % 3 === 0 ? ['ssd'] : [])],
    taints: [],
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

const drvmOf = (d) => ({
  id: `d${d}`,
  name: `drvm${d}`,
  tenant: `t${d % 50}`,
  weight: 1,
  isExclusive: false,
  requires: [],
  tolerates: [],
  avoids: [],
  replicasApart: 'node',
});

const sorted = (values) => [...values].sort((a, b) => a - b);
const stats = (values) => {
  const s = sorted(values);
  return { median: s[s.length >> 1], min: s[0], max: s.at(-1) };
};
const results = [];
function report(name, unit, ours, peer, peers, ratio) {
  results.push({ name, unit, ours: stats(ours), peer, peers: peers && stats(peers), ratio });
  const against = peers ? `, ${peer} ${stats(peers).median.toFixed(2)}: ratio ${ratio.toFixed(3)}` : '';
  console.error(`${name}: ${stats(ours).median.toFixed(2)} ${unit}${against}`);
}

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
report(
  'single slice among 1,000 nodes',
  'thousand placements/s',
  ours,
  'bare scan',
  peers,
  stats(ours.map((own, round) => own / peers[round])).median,
);
report('nodes used by 10,000 slices', 'nodes', [nodesOurs], 'bare scan', [nodesPeer], nodesOurs / nodesPeer);

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
report(
  `balance of ${NODES} nodes, ${busy.slices.length} slices: ${balance.made.cost.moves} moves`,
  'ms',
  balance.times,
);
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
report(`consolidation of ${NODES} nodes`, 'ms', consolidation.times);
report(
  'nodes on after consolidation',
  'nodes',
  [consolidation.made.gain.nodesOnAfter],
  'lower bound',
  [bound],
  consolidation.made.gain.nodesOnAfter / bound,
);
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
report(
  'drain of a node with 40 slices',
  'ms',
  timed(() => planDrain({ snapshot: crowded, policy, seed: 1 }, 'crowded')).times,
);
const choices = nodes.map(({ id, name, total }) => ({
  id,
  name,
  state: 'up',
  free: total,
  step: amounts(1, 1, 1, 1),
  slices: 0,
  isExclusive: false,
}));
const eight = [];
for (let r = 0; r < 200; r++) {
  const begun = performance.now();
  placeDrvm(
    { total: amounts(40_000, 100_000, 40, 100), nodes: 8, exclusive: false, policy: 'spread' },
    choices,
  );
  eight.push(performance.now() - begun);
}
report('an 8-slice DRVM among 1,000 nodes, 99th of 100', 'ms', [
  sorted(eight)[Math.floor(eight.length * 0.99)],
]);

if (process.argv.includes('--json')) console.log(JSON.stringify(results, null, 2));
