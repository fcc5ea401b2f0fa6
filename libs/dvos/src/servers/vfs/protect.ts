/** What a descriptor may do: fdstat, set flags, set rights (MINIX's protect.c, with capabilities in place of modes). */
import {
  FD,
  FD_ALL_FLAGS,
  FD_FLAGS,
  FDSTAT_FLAGS,
  FDSTAT_INHERITING,
  FDSTAT_KIND,
  FDSTAT_RIGHTS,
  INHERITING,
  RIGHT,
  RIGHTS,
} from '../../calls.js';
import type { VfsCall } from './state.js';
import { EINVAL, ENOTCAPABLE, OK } from './status.js';

export const fdstat: VfsCall = (vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, 0);
  if (typeof descriptor === 'number') return descriptor;
  const answer = vfs.answer.words;
  answer[FDSTAT_KIND] = descriptor.filp.inode.kind;
  answer[FDSTAT_FLAGS] = descriptor.filp.flags;
  answer[FDSTAT_RIGHTS] = descriptor.rights;
  answer[FDSTAT_INHERITING] = descriptor.inheriting;
  return OK;
};

export const setFlags: VfsCall = (_vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_FDSTAT_SET_FLAGS);
  if (typeof descriptor === 'number') return descriptor;
  if (words[FD_FLAGS]! & ~FD_ALL_FLAGS) return EINVAL;
  descriptor.filp.flags = words[FD_FLAGS]!;
  return OK;
};

export const setRights: VfsCall = (_vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, 0);
  if (typeof descriptor === 'number') return descriptor;
  const rights = words[RIGHTS]!;
  const inheriting = words[INHERITING]!;
  if (rights & ~descriptor.rights || inheriting & ~descriptor.inheriting) return ENOTCAPABLE;
  descriptor.rights = rights;
  descriptor.inheriting = inheriting;
  return OK;
};
