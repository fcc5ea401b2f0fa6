import { DevicesHandover, type Endpoint } from '@drvs/drvmm-core';
import { z } from 'zod';
import { FILE_CHARACTER_DEVICE } from '../../calls.js';
import { isAttached } from './attached-devices.js';
import { Filp, ProcessFiles } from './filedes.js';
import { Inode } from './inode.js';
import { ROOT } from './inode-tree.js';
import type { VfsState } from './state.js';

/**
 * What VFS knows that its journal does not say: who has what open, and where; files without a name that are open; and
 * the cookies of open directories, so that a listing goes on where it was. It goes from one home to the next when
 * home moves.
 */
const Orphan = z.object({
  number: z.int(),
  kind: z.int(),
  device: z.int().default(0),
  mode: z.int(),
  size: z.number(),
  parent: z.int().nullable(),
  times: z.tuple([z.number(), z.number(), z.number(), z.number(), z.number()]),
});

/** Of a number of the tree, or 0 for a device without a name. */
const OpenFile = z.object({
  inode: z.int(),
  device: z.int(),
  flags: z.int(),
  minor: z.int(),
  position: z.number(),
});

export const VfsHandover = z.object({
  nextInode: z.int(),
  orphans: z.array(Orphan),
  files: z.array(OpenFile),
  processes: z.array(
    z.object({
      endpoint: z.int(),
      line: z.int(),
      /** Number, place in `files`, rights, inheriting rights, name (base64). */
      descriptors: z.array(z.tuple([z.int(), z.int(), z.int(), z.int(), z.string().nullable()])),
    }),
  ),
  directories: z.array(
    z.object({ inode: z.int(), nextCookie: z.int(), cookies: z.array(z.tuple([z.string(), z.int()])) }),
  ),
  attached: DevicesHandover.optional(),
});
export type VfsHandover = z.infer<typeof VfsHandover>;

export function packVfs(vfs: VfsState): VfsHandover {
  const places = new Map<Filp, number>();
  const inodes = new Set<Inode>();
  const files: VfsHandover['files'] = [];
  const placeOf = (filp: Filp): number => {
    const known = places.get(filp);
    if (known !== undefined) return known;
    const { inode, flags, minor, position } = filp;
    places.set(filp, files.length);
    if (inode.number !== 0) inodes.add(inode);
    return files.push({ inode: inode.number, device: inode.device, flags, minor, position }) - 1;
  };
  const processes = [...vfs.processes.values()].map((process) => ({
    endpoint: process.endpoint as number,
    line: process.line,
    descriptors: [...process.numbers()].map((fd): VfsHandover['processes'][number]['descriptors'][number] => {
      const descriptor = process.find(fd, 0);
      if (typeof descriptor === 'number') throw new Error(`descriptor ${fd} is not there`);
      const { filp, rights, inheriting, preopenName } = descriptor;
      const name = preopenName === null ? null : Buffer.from(preopenName).toString('base64');
      return [fd, placeOf(filp), rights, inheriting, name];
    }),
  }));
  return {
    nextInode: vfs.tree.nextNumber,
    orphans: [...inodes].filter(({ links }) => links === 0).map(describeOrphan),
    files,
    processes,
    directories: [...inodes].flatMap(({ number, entries, links }) =>
      entries === null || links === 0
        ? []
        : [
            {
              inode: number,
              nextCookie: entries.nextCookie,
              cookies: [...entries.values()].map(({ name, cookie }): [string, number] => [name, cookie]),
            },
          ],
    ),
    attached: vfs.attached.handover(),
  };
}

function describeOrphan(inode: Inode): VfsHandover['orphans'][number] {
  const { number, kind, device, mode, size, parent } = inode;
  const { accessMs, accessNanos, modifiedMs, modifiedNanos, changedMs } = inode;
  return {
    number,
    kind,
    device,
    mode,
    size,
    parent: parent?.number ?? null,
    times: [accessMs, accessNanos, modifiedMs, modifiedNanos, changedMs],
  };
}

/** Into a VFS whose tree has just been loaded. @throws Error when the two do not fit. */
export function unpackVfs(vfs: VfsState, handover: VfsHandover): void {
  const { tree } = vfs;
  tree.reserve(handover.nextInode);
  if (handover.attached !== undefined) vfs.attached.restore(handover.attached);
  for (const { number, kind, device, mode, size, parent, times } of handover.orphans) {
    const inode = new Inode(number, kind, mode, device, '', times[4]);
    [inode.accessMs, inode.accessNanos, inode.modifiedMs, inode.modifiedNanos] = times;
    if (parent !== null) inode.parent = tree.get(parent) ?? tree.get(ROOT)!;
    tree.adopt(inode, size);
  }
  const files = handover.files.map(({ inode: number, device, flags, minor, position }) => {
    const inode = number === 0 ? anonymousDevice(device) : tree.get(number);
    if (inode === undefined) throw new Error(`inode ${number}, which is open, does not exist`);
    const filp = new Filp(inode, flags, minor);
    filp.position = position;
    return filp;
  });
  for (const { endpoint, line, descriptors } of handover.processes) {
    const process = new ProcessFiles(endpoint as Endpoint, line);
    for (const [fd, place, rights, inheriting, name] of descriptors) {
      const filp = files[place];
      if (filp === undefined) throw new Error(`open file ${place} is not there`);
      if (filp.references === 0) {
        tree.opened(filp.inode);
        if (isAttached(filp.inode.device)) vfs.attached.reopened(filp.inode.device);
      }
      const preopenName = name === null ? null : new Uint8Array(Buffer.from(name, 'base64'));
      process.put(fd, { filp, rights, inheriting, preopenName });
    }
    vfs.processes.set(process.endpoint, process);
  }
  for (const { inode, nextCookie, cookies } of handover.directories) {
    tree.get(inode)?.entries?.renumber(nextCookie, new Map(cookies));
  }
}

/** A device that has no name: what a process's standard streams are. */
export function anonymousDevice(device: number): Inode {
  const inode = new Inode(0, FILE_CHARACTER_DEVICE, 0o620, device, '', 0);
  inode.links = 1;
  return inode;
}
