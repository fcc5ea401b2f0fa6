import type { EventView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';
import { EventsService } from '../events/events.service.js';
import { LedgerSession } from '../jobs/ledger-session.js';

/** Events read at once. */
const BATCH = 200;
/** It is looked this often, should a notice be lost, or an event not have been settled when it was told. */
const LOOK_EVERY_MS = 1_000;
/** Several events that come close together are read together. */
const GATHER_MS = 50;

/** Events as they happen. */
@Injectable()
export class EventStream {
  constructor(
    private readonly events: EventsService,
    private readonly notices: LedgerSession,
  ) {}

  /** Those that the actor may see, each once and in order, after the event `since`; without it, from now on. */
  async *follow(actor: Actor, since: string | null, signal: AbortSignal): AsyncGenerator<EventView> {
    let last = since ?? (await this.#newest(actor));
    while (!signal.aborted) {
      const batch = await this.events.since(actor, last, BATCH);
      for (const event of batch) {
        yield event;
        last = event.id;
      }
      if (batch.length < BATCH) await this.#next(signal);
    }
  }

  async #newest(actor: Actor): Promise<string> {
    const [newest] = await this.events.latest(actor, null, 1);
    return newest?.id ?? '0';
  }

  async #next(signal: AbortSignal): Promise<void> {
    await this.notices.nextOf('drvs_event', LOOK_EVERY_MS, signal);
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
  }
}
