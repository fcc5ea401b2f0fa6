/** Small files that a crash never leaves in part. A door of its own, so that who only keeps files loads nothing else. */
export { readJson, writeDurably } from './durable-file.js';
