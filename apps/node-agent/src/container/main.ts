import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ContainerSpec, DrvsError } from '@drvs/contracts';
import { createTransport } from '@drvs/drvmm-core';
import { MolContainer } from '@drvs/dvos';
import { CONTAINER_EXIT, drvmFolder, FOLDER_ARGUMENT, LISTEN_ARGUMENT } from '../supervisor/drvm-folder.js';
import { AgentLink } from './agent-link.js';

/**
 * The process that holds one DRVM's share of this node: it reads its spec and key, opens its control socket, and runs
 * the DVOS. It knows nothing of the API and needs the agent only for programs that it has not seen yet.
 *
 * Its memory is what every DRVM on the node costs, so it imports the DVOS, the transport and the contracts only.
 */

/** Guests get this long to end by themselves when the process is told to end. */
const TERM_GRACE_MS = 5_000;
/** After a failure the file system is still flushed, if that works at all. */
const FAILED_FLUSH_MS = 3_000;

/** The last line of the log is what `drvm show` says of a container that ended. */
function say(text: string): void {
  process.stderr.write(`${new Date().toISOString()} ${text}\n`);
}

function argument(name: string): string {
  const value = process.argv[process.argv.indexOf(name) + 1];
  if (!process.argv.includes(name) || value === undefined) throw new Error(`${name} is missing`);
  return value;
}

interface Files {
  spec: ContainerSpec;
  key: string;
  socket: string;
  data: string;
  listen: { host: string; port: number };
}

function readFiles(): Files {
  const folder = drvmFolder(argument(FOLDER_ARGUMENT));
  const listen = argument(LISTEN_ARGUMENT);
  const colon = listen.lastIndexOf(':');
  return {
    // Which devices it may open the agent says once it is up.
    spec: { ...ContainerSpec.parse(JSON.parse(readFileSync(folder.spec, 'utf8'))), devices: [] },
    key: readFileSync(folder.key, 'utf8'),
    socket: folder.socket,
    data: folder.data,
    listen: { host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) },
  };
}

async function run(files: Files): Promise<void> {
  const { spec } = files;
  const incarnation = randomBytes(8).toString('hex');
  const transport = createTransport({
    drvmId: spec.drvmId,
    index: spec.index,
    incarnation,
    listen: files.listen,
    key: files.key,
    certificate: spec.certificate,
    authority: spec.authorityCertificate,
  });
  const link: AgentLink = new AgentLink(async (method, params, context) => {
    const answer = await container.call(method, params, context);
    // Answered first, ended then: the agent's call must not end with the connection.
    if (method === 'container.stop') setTimeout(() => end(CONTAINER_EXIT.done, 'stopped as asked'), 50);
    return answer;
  });
  const container = new MolContainer({
    spec,
    incarnation,
    dataFolder: files.data,
    transport,
    instrument: (sha256, module) => link.instrument(sha256, module),
    emit: (event) => link.emit(event),
    // At once: what runs elsewhere is no longer this container's to end.
    restart: (reason) => void end(CONTAINER_EXIT.failed, reason),
  });

  let isEnding = false;
  const end = (code: number, reason: string): never => {
    isEnding = true;
    say(reason);
    link.close();
    process.exit(code);
  };
  const stop = async (graceMs: number, code: number, reason: string): Promise<void> => {
    if (isEnding) return;
    isEnding = true;
    await container.stop(graceMs);
    end(code, reason);
  };
  const failed = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    say(`failed: ${text}`);
    const summary = `failed: ${DrvsError.from(error).message}`;
    setTimeout(() => end(CONTAINER_EXIT.failed, summary), FAILED_FLUSH_MS);
    if (isEnding) return;
    stop(0, CONTAINER_EXIT.failed, summary).catch(() => end(CONTAINER_EXIT.failed, summary));
  };
  process.on('uncaughtException', failed);
  process.on('unhandledRejection', failed);
  process.on(
    'SIGTERM',
    () => void stop(TERM_GRACE_MS, CONTAINER_EXIT.done, 'ended by SIGTERM').catch(failed),
  );
  process.on('SIGINT', () => void stop(TERM_GRACE_MS, CONTAINER_EXIT.done, 'ended by SIGINT').catch(failed));

  await link.listen(files.socket);
  try {
    await container.start();
  } catch (error) {
    const { message } = DrvsError.from(error);
    const { host, port } = files.listen;
    const isPortTaken = message.includes('EADDRINUSE');
    end(
      CONTAINER_EXIT.unavailable,
      isPortTaken
        ? `port ${port} on ${host}, kept for this DRVM, is used by another program: end that program`
        : `cannot start: ${message}`,
    );
  }
  say(`DRVM ${spec.drvmName} (${spec.drvmId}), container ${spec.index}, is up; incarnation ${incarnation}`);
}

let files: Files;
try {
  files = readFiles();
} catch (error) {
  say(`cannot start: ${(error as Error).message}`);
  process.exit(CONTAINER_EXIT.unusable);
}
await run(files);
