import { join } from 'node:path';

/**
 * What a node keeps of one DRVM:
 *
 *     <agent's data>/drvms/<drvm>/
 *         place.json      index, port, host user; made by drvm.prepare
 *         key.pem         the container's private key; it never leaves this folder
 *         spec.json       the newest ContainerSpec
 *         wanted.json     whether the container is to run
 *         runtime.json    the process that runs it now
 *         container.log   what the container wrote to its standard error
 *         run/            control.sock; the container's own
 *         data/           the container's files; its own
 *
 * The agent writes all but run/ and data/, and believes nothing that lies in those two. This file is shared with the
 * container process and imports nothing heavy.
 */
export interface DrvmFolder {
  root: string;
  place: string;
  key: string;
  spec: string;
  wanted: string;
  runtime: string;
  log: string;
  run: string;
  socket: string;
  data: string;
}

export function drvmFolder(root: string): DrvmFolder {
  return {
    root,
    place: join(root, 'place.json'),
    key: join(root, 'key.pem'),
    spec: join(root, 'spec.json'),
    wanted: join(root, 'wanted.json'),
    runtime: join(root, 'runtime.json'),
    log: join(root, 'container.log'),
    run: join(root, 'run'),
    socket: join(root, 'run', 'control.sock'),
    data: join(root, 'data'),
  };
}

/** The argument by which a container names its folder; also how it is found among the host's processes. */
export const FOLDER_ARGUMENT = '--drvs-folder';
/** Where the container listens for its DRVM's other containers. */
export const LISTEN_ARGUMENT = '--drvs-listen';

/** Exit codes of a container (the last line of its log says more). */
export const CONTAINER_EXIT = {
  /** Stopped as asked. */
  done: 0,
  /** Its files or arguments are not usable (sysexits EX_CONFIG). */
  unusable: 78,
  /** It could not start: a port that is taken, a file system that does not open (EX_UNAVAILABLE). */
  unavailable: 69,
  /** An assertion failed or an error was not caught (EX_SOFTWARE). */
  failed: 70,
} as const;
