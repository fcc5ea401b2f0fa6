import type { Endpoint, Message } from '@drvs/drvmm-core';

/**
 * A DVOS server: a state machine that is given one message at a time and answers through its port, now or later.
 * It has no clock, randomness or I/O of its own; what it needs of them comes with its construction, so that it can be
 * tested without a container, checkpointed and replicated.
 */
export interface Server {
  readonly endpoint: Endpoint;
  /**
   * A request (sendrec), a message, or a notification (`type` NOTIFY_MESSAGE) has arrived. `message.source` is the
   * kernel's word for who sent it. `message` and `data` are valid only during the call.
   */
  onMessage(message: Message, data: Uint8Array): void;
  /** `caller`, who has not been answered yet, waits no longer. */
  onCancelled?(caller: Endpoint): void;
  /** Endpoint `endpoint` will never speak again: forget what it waits for. */
  onGone?(endpoint: Endpoint): void;
}

/** A server's way out, given at its construction. */
export interface ServerPort {
  /**
   * Answers a sendrec; never blocks. `message.type` is the status or result. `data` (at most MAX_RIDING_BYTES) is
   * copied before this returns. An answer to somebody who no longer waits is dropped.
   */
  reply(to: Endpoint, message: Message, data?: Uint8Array): void;
  notify(to: Endpoint): void;
  /** A message to a task or server that is not waited for. `message` and `data` are copied. */
  post(to: Endpoint, message: Message, data?: Uint8Array): void;
  /** Gives back a call that was taken and of which nothing was done; only while servers are paused. */
  putBack(caller: Endpoint, message: Message, data: Uint8Array): void;
  /** Milliseconds since 1970 at the arrival of the message being served. */
  now(): number;
}
