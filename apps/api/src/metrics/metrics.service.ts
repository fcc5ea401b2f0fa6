import { Injectable } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { Database } from '../database/database.js';
import { nodeState, OCCUPYING } from '../nodes/node-view.js';

/** Counts of the process and sums of the ledger. No names: the numbers may be scraped without signing in. */
@Injectable()
export class MetricsService {
  readonly registry = new Registry();
  readonly #requests = new Histogram({
    name: 'drvs_http_request_seconds',
    help: 'Time to answer, by method, route and status',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30],
    registers: [this.registry],
  });
  readonly #nodes = this.#gauge('drvs_nodes', 'Nodes by state', ['state']);
  readonly #drvms = this.#gauge('drvs_drvms', 'DRVMs by state', ['state']);
  readonly #operations = this.#gauge('drvs_operations', 'Operations by kind and state', ['kind', 'state']);
  readonly #capacity = this.#gauge('drvs_capacity', 'What all nodes offer, by class', ['class']);
  readonly #allocated = this.#gauge('drvs_allocated', 'What DRVMs hold, by class', ['class']);

  constructor(private readonly database: Database) {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Every request is timed under the pattern of its route, never under its path: the number of series stays small. */
  observe(fastify: FastifyInstance): void {
    // The label sets of a few hundred series are put together once, not for each request.
    const series = new Map<string, Histogram.Internal<string>>();
    fastify.addHook('onResponse', (request, reply, done) => {
      done();
      const { method, routeOptions } = request;
      const route = routeOptions.url ?? 'unknown';
      const key = `${method} ${reply.statusCode} ${route}`;
      let one = series.get(key);
      if (one === undefined) {
        one = this.#requests.labels({ method, route, status: String(reply.statusCode) });
        series.set(key, one);
      }
      one.observe(reply.elapsedTime / 1000);
    });
  }

  async scrape(): Promise<string> {
    await this.#readLedger();
    return this.registry.metrics();
  }

  async #readLedger(): Promise<void> {
    const { unrestricted } = this.database;
    const [nodes, drvms, operations, inventories] = [
      await unrestricted.node.findMany({
        select: {
          wantedState: true,
          lastSeenAt: true,
          _count: { select: { slices: { where: OCCUPYING } } },
        },
      }),
      await unrestricted.drvm.groupBy({ by: ['state'], _count: true }),
      await unrestricted.operation.groupBy({ by: ['kind', 'state'], _count: true }),
      await unrestricted.inventory.groupBy({ by: ['class'], _sum: { total: true, used: true } }),
    ];
    for (const gauge of [this.#nodes, this.#drvms, this.#operations]) gauge.reset();
    const now = Date.now();
    for (const node of nodes) this.#nodes.inc({ state: nodeState(node, node._count.slices, now) });
    for (const { state, _count } of drvms) this.#drvms.set({ state }, _count);
    for (const { kind, state, _count } of operations) this.#operations.set({ kind, state }, _count);
    for (const { class: name, _sum } of inventories) {
      this.#capacity.set({ class: name }, _sum.total ?? 0);
      this.#allocated.set({ class: name }, _sum.used ?? 0);
    }
  }

  #gauge(name: string, help: string, labelNames: string[]): Gauge {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }
}
