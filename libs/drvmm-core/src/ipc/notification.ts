import { ANY } from './endpoint.js';
import type { LocalProcess } from './local-process.js';
import { type Message, NOTIFY_MESSAGE } from './message.js';

export function writeNotification(message: Message, source: number): void {
  message.words.fill(0);
  message.words[0] = source;
  message.words[1] = NOTIFY_MESSAGE;
}

/** Filtered by the wanted source, unlike M3-IPC's. */
export function nextNotification(receiver: LocalProcess, wanted: number): number | undefined {
  if (receiver.notifications.size === 0) return undefined;
  if (wanted !== ANY) return receiver.notifications.has(wanted) ? wanted : undefined;
  for (const first of receiver.notifications) return first;
  return undefined;
}
