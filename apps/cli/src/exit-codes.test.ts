import { beforeAll, expect, test } from '@jest/globals';
import { buildCommandLine, startCommand } from './testing/command-line.js';
import { HttpPeer, json, problem } from './testing/http-peer.js';

const TIMEOUT_MS = 60_000;
beforeAll(() => buildCommandLine(), TIMEOUT_MS);

test(
  'a command ends with 0 when it is done, 1 when it is refused, 2 when it is used wrongly',
  async () => {
    await using peer = await HttpPeer.start(({ method }, response) =>
      method === 'GET'
        ? json(response, { items: [], nextCursor: null })
        : problem(response, 422, 'QuotaExceeded', 'cpu is short by 2', 'Ask for 1.'),
    );
    const run = async (...words: string[]) => {
      const { code, stdout, stderr } = await startCommand(words, { DRVS_URL: peer.url }).ended;
      return { code, stdout: stdout.toString('utf8'), stderr };
    };
    expect(await run('node', 'list', '--json')).toMatchObject({ code: 0, stdout: '[]\n' });
    expect(await run('node', 'show', '--help')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/Example:\n {2}drvs node show node1/),
    });
    const refused = await run('--json', 'tenant', 'create', 'fisica');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: 'QuotaExceeded',
      message: 'cpu is short by 2',
      hint: 'Ask for 1.',
    });
    for (const words of [['nonsense'], ['node', 'show'], ['node', 'list', '--nonsense'], ['node']]) {
      const wrong = await run('--json', ...words);
      expect([words, wrong.code, wrong.stdout]).toEqual([words, 2, '']);
    }
  },
  TIMEOUT_MS,
);
