import { DrvsError, type PowerDriverName } from '@drvs/contracts';
import { z } from 'zod';
import type { SecretBox } from '../config/secret-box.js';
import type { NodePower } from '../gen/client.js';
import { fromZod } from '../http/problem.filter.js';
import { IpmiSecret, IpmiSettings, ipmi } from './drivers/ipmi.js';
import { localSupervisor } from './drivers/local-supervisor.js';
import { CommandSecret, CommandSettings, ownCommand } from './drivers/own-command.js';
import { driverFailed, type PowerDriver, unread } from './drivers/power-driver.js';
import { RedfishSecret, RedfishSettings, redfish } from './drivers/redfish.js';
import { WakeOnLanSecret, WakeOnLanSettings, wakeOnLan } from './drivers/wake-on-lan.js';

const Empty = z.strictObject({});

/** What each driver is told, and which part of it is secret. */
const SHAPES: Readonly<Record<PowerDriverName, { settings: z.ZodObject; secret: z.ZodObject }>> = {
  none: { settings: Empty, secret: Empty },
  wol: { settings: WakeOnLanSettings, secret: WakeOnLanSecret },
  ipmi: { settings: IpmiSettings, secret: IpmiSecret },
  redfish: { settings: RedfishSettings, secret: RedfishSecret },
  command: { settings: CommandSettings, secret: CommandSecret },
  local: { settings: Empty, secret: Empty },
};

/** @throws DrvsError InvalidInput that names each setting which does not fit the driver */
export function checkedSettings(driver: PowerDriverName, settings: unknown): Record<string, unknown> {
  return checked(SHAPES[driver].settings, settings ?? {}, 'settings');
}

export function checkedSecret(driver: PowerDriverName, secret: unknown): Record<string, unknown> {
  return checked(SHAPES[driver].secret, secret, 'secret');
}

function checked(schema: z.ZodObject, value: unknown, under: string): Record<string, unknown> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => ({ ...issue, path: [under, ...issue.path] }));
  throw fromZod(new z.ZodError(issues as z.core.$ZodIssue[]));
}

export const secretContext = (nodeId: string): string => `node/${nodeId}/power`;

export interface DriverSurroundings {
  secrets: SecretBox;
  localSocket: string | null;
  /** Asks the node's agent to end what runs there and to switch its host off. */
  shutDown: (signal: AbortSignal) => Promise<void>;
}

type DriverRow = Pick<NodePower, 'nodeId' | 'driver' | 'settings' | 'secret'>;

/** The driver of a node as it is configured. @throws DrvsError Internal when the secret does not open */
export function driverOf(row: DriverRow, node: string, around: DriverSurroundings): PowerDriver {
  const opened = (): Record<string, unknown> =>
    row.secret === null
      ? {}
      : (JSON.parse(around.secrets.open(row.secret, secretContext(row.nodeId)).toString('utf8')) as Record<
          string,
          unknown
        >);
  switch (row.driver as PowerDriverName) {
    case 'wol':
      return wakeOnLan(
        WakeOnLanSettings.parse(row.settings),
        WakeOnLanSecret.partial().parse(opened()).password,
        around.shutDown,
      );
    case 'ipmi':
      return ipmi(IpmiSettings.parse(row.settings), IpmiSecret.partial().parse(opened()).password);
    case 'redfish':
      return redfish(RedfishSettings.parse(row.settings), RedfishSecret.partial().parse(opened()).password);
    case 'command':
      return ownCommand(
        CommandSettings.parse(row.settings),
        CommandSecret.partial().parse(opened()).environment ?? {},
        node,
      );
    case 'local':
      return localSupervisor(around.localSocket, node);
    case 'none':
      return noDriver(node);
  }
}

function noDriver(node: string): PowerDriver {
  const cannot = async (): Promise<never> => {
    throw driverFailed(
      'none',
      `nothing is set that switches ${node}`,
      `Set it: drvs node power set ${node} --driver …`,
    );
  };
  return {
    name: 'none',
    canCut: false,
    status: async () => unread('no driver is set'),
    on: cannot,
    off: cannot,
    cycle: cannot,
  };
}

export const noDriverError = (node: string): DrvsError =>
  new DrvsError('StateConflict', `nothing is set that switches ${node}`, {
    hint: `Set it: drvs node power set ${node} --driver wol|ipmi|redfish|command …`,
  });
