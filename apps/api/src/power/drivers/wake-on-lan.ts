import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { z } from 'zod';
import { driverFailed, type PowerDriver, unread } from './power-driver.js';

const MAC = /^[0-9a-f]{2}([:-]?[0-9a-f]{2}){5}$/i;

export const WakeOnLanSettings = z.strictObject({
  /** Of the card that listens for the packet. */
  mac: z.string().regex(MAC, 'is a hardware address, for instance 52:54:00:12:34:56'),
  /** Where the packet goes: a broadcast address of the node's network. */
  broadcast: z.string().refine(isIPv4, 'is an IPv4 address').default('255.255.255.255'),
  /** 9 (discard) is usual, 7 too. */
  port: z.int().min(1).max(65_535).default(9),
});
export type WakeOnLanSettings = z.infer<typeof WakeOnLanSettings>;

/** Some cards listen only for the packet with a password (SecureOn): 4 or 6 bytes, written as a hardware address is. */
export const WakeOnLanSecret = z.strictObject({
  password: z.string().regex(/^[0-9a-f]{2}([:-]?[0-9a-f]{2}){3}(([:-]?[0-9a-f]{2}){2})?$/i),
});

/** The packet may be lost: it is sent this often. */
const SENDS = 3;
const SYNC_BYTES = 6;
const REPEATS = 16;

/** Six bytes FF, then the hardware address sixteen times, then the password if there is one (AMD's Magic Packet). */
export function magicPacket(mac: string, password = ''): Buffer {
  const bytes = (text: string): Buffer => Buffer.from(text.replaceAll(/[:-]/g, ''), 'hex');
  const address = bytes(mac);
  return Buffer.concat([
    Buffer.alloc(SYNC_BYTES, 0xff),
    ...Array.from({ length: REPEATS }, () => address),
    bytes(password),
  ]);
}

/**
 * Wakes a node by a packet on its wire, and switches it off by asking its agent. It can read nothing: that the node is
 * off is concluded from its silence after it was asked.
 */
export function wakeOnLan(
  settings: WakeOnLanSettings,
  password: string | undefined,
  shutDown: (signal: AbortSignal) => Promise<void>,
): PowerDriver {
  const on = async (): Promise<void> => {
    const packet = magicPacket(settings.mac, password);
    const socket = createSocket('udp4');
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(0, () => resolve());
      });
      socket.setBroadcast(true);
      for (let sent = 0; sent < SENDS; sent++) {
        await new Promise<void>((resolve, reject) => {
          socket.send(packet, settings.port, settings.broadcast, (error) =>
            error ? reject(error) : resolve(),
          );
        });
      }
    } catch (error) {
      throw driverFailed(
        'wol',
        `the packet for ${settings.mac} cannot be sent to ${settings.broadcast}:${settings.port}: ${(error as Error).message}`,
        'The API must be on the network of the node, or a router must hand broadcasts on.',
        error,
      );
    } finally {
      socket.close();
    }
  };
  const cannotCut = (): never => {
    throw driverFailed(
      'wol',
      'a packet can wake a node and cannot take its power away',
      'Give the node another driver (ipmi, redfish, command), or switch it off by hand.',
    );
  };
  return {
    name: 'wol',
    canCut: false,
    status: async () => unread('wake-on-LAN reads nothing; whether the node is up is known from its agent'),
    on,
    off: (how, signal) => (how === 'gently' ? shutDown(signal) : cannotCut()),
    cycle: async () => cannotCut(),
  };
}
