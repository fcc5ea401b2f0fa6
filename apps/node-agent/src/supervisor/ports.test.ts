import { expect, test } from '@jest/globals';
import { PortHolder } from './ports.js';

test('two agents of one host never choose the same port, and a full range is said', async () => {
  const first = 21_000 + Math.floor(Math.random() * 8_000);
  const range = { first, last: first + 3 };
  const agents = [new PortHolder('127.0.0.1', range), new PortHolder('127.0.0.1', range)] as const;
  try {
    const ports = new Set<number>();
    for (let turn = 0; turn < 4; turn++) {
      ports.add(await (agents[turn % 2] as PortHolder).choose(new Set()));
    }
    expect(ports.size).toBe(4);
    await expect(agents[0].choose(new Set())).rejects.toMatchObject({ code: 'InsufficientResources' });
  } finally {
    await Promise.all(agents.map((agent) => agent.releaseAll()));
  }
});

test('ports of DRVMs that do not run now are not given to others', async () => {
  const first = 21_000 + Math.floor(Math.random() * 8_000);
  const holder = new PortHolder('127.0.0.1', { first, last: first + 1 });
  try {
    expect(await holder.choose(new Set([first]))).toBe(first + 1);
  } finally {
    await holder.releaseAll();
  }
});
