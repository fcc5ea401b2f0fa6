/**
 * Which descriptors can be read or written without waiting (MINIX's select.c). Only attached devices ever make one wait:
 * of these it is told that there is nothing yet, and whoever wants to wait asks again.
 */
import { SUSPENDED } from '@drvs/drvmm-core';
import { FILE_CHARACTER_DEVICE, POLL_ANSWER_BYTES, POLL_READ, POLL_WRITE, RIGHT } from '../../calls.js';
import { isAttached } from './attached-devices.js';
import { BLOCK_BYTES } from './limits.js';
import type { VfsCall } from './state.js';
import { EINVAL, OK } from './status.js';

export const select: VfsCall = (vfs, process, _request, data) => {
  const count = data.length / 8;
  if (!Number.isInteger(count) || count * POLL_ANSWER_BYTES > vfs.buffer.length) return EINVAL;
  const asked = new DataView(data.buffer, data.byteOffset, data.length);
  const answers = new DataView(vfs.buffer.buffer);
  for (let i = 0; i < count; i++) {
    const kind = asked.getInt32(i * 8 + 4, true);
    const at = i * POLL_ANSWER_BYTES;
    const descriptor = process.find(asked.getInt32(i * 8, true), RIGHT.POLL_FD_READWRITE);
    let status = OK;
    let bytes = 0;
    let isWaiting = 0;
    if (kind !== POLL_READ && kind !== POLL_WRITE) status = EINVAL;
    else if (typeof descriptor === 'number') status = descriptor;
    else if (kind === POLL_READ && isAttached(descriptor.filp.inode.device)) {
      bytes = vfs.attached.readable(descriptor.filp.inode.device);
      if (bytes === SUSPENDED) {
        bytes = 0;
        isWaiting = 1;
      }
    } else if (kind === POLL_WRITE || descriptor.filp.inode.kind === FILE_CHARACTER_DEVICE)
      bytes = BLOCK_BYTES;
    else bytes = Math.max(0, descriptor.filp.inode.size - descriptor.filp.position);
    answers.setInt32(at, status, true);
    answers.setInt32(at + 4, isWaiting, true);
    answers.setFloat64(at + 8, bytes, true);
  }
  vfs.ride = vfs.buffer.subarray(0, count * POLL_ANSWER_BYTES);
  return OK;
};
