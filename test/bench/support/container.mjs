// One container of a DRVM in an OS process of its own, told by its parent what to be (test/bench/support/drvm.mjs).
// Messages: {id, method, params, body} → {id, result, error}; the spec comes first.
import { createTransport } from '@drvs/drvmm-core';
import { MolContainer } from '@drvs/dvos';

let diesAt = null;
process.once('message', async ({ spec, incarnation, dataFolder, identity, authority, lostAfterMs }) => {
  const { host, port } = spec.peers.find(({ index }) => index === spec.index);
  const container = new MolContainer({
    spec,
    incarnation,
    dataFolder,
    transport: createTransport({
      drvmId: spec.drvmId,
      index: spec.index,
      incarnation,
      listen: { host, port },
      key: identity.key,
      certificate: identity.certificate,
      authority,
      lostAfterMs,
    }),
    instrument: async (_sha256, module) => (await import('@drvs/dvos/loader')).instrument(module).module,
    emit: (event) => process.send({ event }),
    onHomeStep: (step) => {
      if (step === diesAt) process.kill(process.pid, 'SIGKILL');
    },
  });
  await container.start();
  process.on('message', async ({ id, method, params, body, dieAt }) => {
    if (dieAt !== undefined) {
      diesAt = dieAt;
      return;
    }
    const chunks = [];
    const context = {
      method,
      body: body === undefined ? new Uint8Array(0) : Buffer.from(body, 'base64'),
      signal: new AbortController().signal,
      chunk: async (chunk, bytes) => void chunks.push([chunk, Buffer.from(bytes).toString('base64')]),
    };
    try {
      const answer = await container.call(method, params, context);
      if (answer?.body instanceof Uint8Array) {
        const bytes = Buffer.from(answer.body).toString('base64');
        process.send({ id, result: answer.result, bytes, chunks });
      } else process.send({ id, result: answer, chunks });
    } catch (error) {
      process.send({ id, error: { code: error.code ?? 'Internal', message: error.message }, chunks });
    }
  });
  process.send({ started: true });
});
process.on('disconnect', () => process.exit(0));
