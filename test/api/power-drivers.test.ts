import { createSocket } from 'node:dgram';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { IpmiSettings, ipmi } from '../../apps/api/src/power/drivers/ipmi.js';
import { CommandSettings, ownCommand } from '../../apps/api/src/power/drivers/own-command.js';
import { RedfishSettings, redfish } from '../../apps/api/src/power/drivers/redfish.js';
import { WakeOnLanSettings, wakeOnLan } from '../../apps/api/src/power/drivers/wake-on-lan.js';
import { until } from '../support/cluster.js';
import { IpmiSimulator, whyNoIpmi } from '../support/ipmi-simulator.js';
import { RedfishService } from '../support/redfish-service.js';

const signal = AbortSignal.timeout(600_000);

describe('wake-on-LAN', () => {
  /** What a card makes of a packet: whom it wakes, and with which password. */
  const decoded = (packet: Buffer): { mac: string; password: string } | null => {
    if (!packet.subarray(0, 6).equals(Buffer.alloc(6, 0xff))) return null;
    const mac = packet.subarray(6, 12);
    for (let at = 6; at < 6 + 16 * 6; at += 6) if (!packet.subarray(at, at + 6).equals(mac)) return null;
    return { mac: mac.toString('hex'), password: packet.subarray(6 + 16 * 6).toString('hex') };
  };

  test('sends the packet of the card, more than once', async () => {
    const listener = createSocket('udp4');
    const packets: Buffer[] = [];
    listener.on('message', (packet) => packets.push(packet));
    await new Promise<void>((resolve) => listener.bind(0, '127.0.0.1', resolve));
    const settings = WakeOnLanSettings.parse({
      mac: '52:54:00:AB:cd:ef',
      broadcast: '127.0.0.1',
      port: listener.address().port,
    });
    await wakeOnLan(settings, '01-02-03-04-05-06', async () => undefined).on(signal);
    await until('the packets', () => packets.length >= 3);
    expect(packets.map(decoded)).toEqual(Array(3).fill({ mac: '525400abcdef', password: '010203040506' }));
    await wakeOnLan(settings, undefined, async () => undefined).on(signal);
    await until('the packets without a password', () => packets.length >= 6);
    expect(decoded(packets.at(-1)!)).toEqual({ mac: '525400abcdef', password: '' });
    listener.close();
  });

  test('switches off through the agent, reads nothing, and says that it cannot cut', async () => {
    let shutdowns = 0;
    const driver = wakeOnLan(WakeOnLanSettings.parse({ mac: '525400abcdef' }), undefined, async () => {
      shutdowns++;
    });
    await driver.off('gently', signal);
    expect(shutdowns).toBe(1);
    expect((await driver.status(signal)).power).toBe('unknown');
    expect(() => driver.off('at-once', signal)).toThrow('cannot take its power away');
    await expect(driver.cycle(signal)).rejects.toMatchObject({ code: 'PowerFailed' });
  });
});

describe("one's own commands", () => {
  let folder: string;
  let script: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drvs-command-'));
    script = join(folder, 'pdu');
    await writeFile(
      script,
      `#!/bin/sh
printf '%s\\n' "$#" "$@" "$DRVS_NODE" "$TOKEN" "$SHOULD_NOT_BE" > "${folder}/seen"
case "$1" in
  fail) echo first >&2; echo "no such outlet" >&2; exit 7 ;;
  sleep) sleep 30 & echo $! > "${folder}/child"; wait ;;
  status) echo "ON since yesterday" ;;
  odd) echo perhaps ;;
  watts) echo "41.5 W" ;;
esac
`,
    );
    await chmod(script, 0o700);
    process.env.SHOULD_NOT_BE = 'inherited';
  });
  afterEach(() => rm(folder, { recursive: true }));
  const driver = (more: object = {}) =>
    ownCommand(
      CommandSettings.parse({
        on: [script, 'on', '{node}; rm -rf $HOME', '"'],
        off: [script, 'fail'],
        ...more,
      }),
      { TOKEN: 'secret' },
      'node7',
    );

  test('get their words as they are, no shell, and only their own environment', async () => {
    await driver().on(signal);
    const seen = await readFile(join(folder, 'seen'), 'utf8');
    expect(seen.split('\n')).toEqual(['3', 'on', 'node7; rm -rf $HOME', '"', 'node7', 'secret', '', '']);
  });

  test('say what they said when they fail, and are ended with all they started when they take too long', async () => {
    await expect(driver().off('gently', signal)).rejects.toMatchObject({
      code: 'PowerFailed',
      message: expect.stringContaining('exit code 7: no such outlet'),
    });
    const slow = driver({ on: [script, 'sleep'], timeout: 1 });
    await expect(slow.on(signal)).rejects.toThrow('it did not end within 1 s');
    const child = Number(await readFile(join(folder, 'child'), 'utf8'));
    await until('what it started is gone', () => {
      try {
        process.kill(child, 0);
        return false;
      } catch {
        return true;
      }
    });
    await expect(driver({ on: [join(folder, 'none')] }).on(signal)).rejects.toThrow('cannot be started');
  });

  test('tell the power by their first word, and the watts by theirs', async () => {
    const status = await driver({ status: [script, 'status'], watts: [script, 'watts'] }).status(signal);
    expect(status).toMatchObject({ power: 'on', watts: 41.5 });
    expect((await driver({ status: [script, 'odd'] }).status(signal)).power).toBe('unknown');
    expect((await driver({ status: [script, 'fail'] }).status(signal)).detail).toContain('exit code 7');
    expect(driver().canCut).toBe(false);
    expect(driver({ status: [script, 'status'] }).canCut).toBe(true);
  });
});

describe('IPMI over LAN', () => {
  const reason = whyNoIpmi();
  const run = reason === null ? test : test.skip;
  let controller: IpmiSimulator;
  beforeAll(async () => {
    if (reason === null) controller = await IpmiSimulator.start();
    else console.warn(`IPMI is not tested: ${reason}`);
  });
  afterAll(() => controller?.stop());
  const driver = (password: string = IpmiSimulator.password) =>
    ipmi(
      IpmiSettings.parse({
        host: '127.0.0.1',
        port: controller.port,
        user: IpmiSimulator.user,
        // The simulator does not list its suites, and asking for them in vain takes long.
        cipherSuite: 3,
      }),
      password,
    );

  run(
    'switches a controller that speaks RMCP+ on, softly off, hard off, and through a cycle',
    async () => {
      await until('it answers', async () => (await driver().status(signal)).power === 'off', 60_000);
      await driver().on(signal);
      expect(await controller.isOn()).toBe(true);
      expect(await driver().status(signal)).toMatchObject({ power: 'on', watts: null });
      await driver().off('gently', signal);
      expect((await driver().status(signal)).power).toBe('off');
      await driver().on(signal);
      await driver().off('at-once', signal);
      expect(await controller.isOn()).toBe(false);
      await driver().on(signal);
      await driver().cycle(signal);
      await until('it is on again', () => controller.isOn(), 60_000);
      expect(await controller.asked()).toEqual([
        'power 1',
        'shutdown 1',
        'power 1',
        'power 0',
        'power 1',
        'power 0',
        'power 1',
      ]);
    },
    120_000,
  );

  run(
    'says what is wrong with a password, and with a program that is missing',
    async () => {
      await expect(driver('wrong').on(signal)).rejects.toMatchObject({ code: 'PowerFailed' });
      expect((await driver('wrong').status(signal)).power).toBe('unknown');
      const missing = ipmi(
        IpmiSettings.parse({ host: '127.0.0.1', user: 'x', program: '/no/such/ipmitool' }),
        'x',
      );
      await expect(missing.on(signal)).rejects.toMatchObject({
        hint: expect.stringContaining('Install ipmitool'),
      });
    },
    120_000,
  );
});

describe('Redfish', () => {
  let service: RedfishService;
  beforeEach(async () => {
    service = await RedfishService.start();
  });
  afterEach(() => service.stop());
  const driver = (more: object = {}, password: string = RedfishService.password) =>
    redfish(
      RedfishSettings.parse({
        host: '127.0.0.1',
        port: service.port,
        user: RedfishService.user,
        pin: service.pin,
        ...more,
      }),
      password,
    );

  test('opens a session, resets as the service allows, and closes its session', async () => {
    await driver().on(signal);
    expect(service.resets).toEqual(['On']);
    expect(await driver().status(signal)).toEqual({ power: 'on', watts: 123, detail: 'PowerState is On' });
    await driver().off('gently', signal);
    await driver().on(signal);
    await driver().off('at-once', signal);
    await driver().cycle(signal);
    expect(service.resets).toEqual(['On', 'GracefulShutdown', 'On', 'ForceOff', 'PowerCycle']);
    expect(service.sessions.size).toBe(0);
  });

  test('takes what is nearest where the service allows less, and says so where nothing is', async () => {
    service.allowable = ['ForceOn', 'ForceOff', 'PushPowerButton'];
    service.faults.add('action-info');
    await driver().on(signal);
    await driver().off('gently', signal);
    expect(service.resets).toEqual(['ForceOn', 'PushPowerButton']);
    await expect(driver().cycle(signal)).rejects.toThrow('it allows ForceOn, ForceOff, PushPowerButton');
    service.faults.add('no-reset');
    await expect(driver().on(signal)).rejects.toThrow('the system has no action Reset');
  });

  test('tries what it would where the service does not say what it allows', async () => {
    service.faults.add('no-allowable-values');
    await driver().on(signal);
    expect(service.resets).toEqual(['On']);
  });

  test('may use basic authentication, and tells a wrong password', async () => {
    await driver({ login: 'basic' }).on(signal);
    expect(service.requests).not.toContain('POST /redfish/v1/SessionService/Sessions');
    await expect(driver({}, 'wrong').on(signal)).rejects.toMatchObject({
      message: expect.stringContaining('status 401: The user name or the password is wrong.'),
      hint: 'Look at the user and the password.',
    });
    await expect(driver({ login: 'basic' }, 'wrong').on(signal)).rejects.toThrow('status 401');
    expect((await driver({}, 'wrong').status(signal)).power).toBe('unknown');
  });

  test('reads the system again when it has changed since, waits when it is busy, and tells what is forbidden', async () => {
    let changes = 1;
    service.beforeReset = () => {
      if (changes-- > 0) service.revision++;
    };
    service.faults.add('busy');
    await driver().on(signal);
    expect(service.resets).toEqual(['On']);
    service.faults.add('forbidden');
    await expect(driver().off('at-once', signal)).rejects.toMatchObject({
      message: expect.stringContaining('status 403: The account has too few privileges.'),
      hint: expect.stringContaining('ConfigureComponents'),
    });
    expect(service.sessions.size).toBe(0);
  });

  test('wants one of several systems to be named', async () => {
    service.systems = ['blade1', 'blade2'];
    await expect(driver().on(signal)).rejects.toThrow(
      'looks after 2 systems (blade1, blade2), and none is named',
    );
    await expect(driver({ system: 'blade3' }).on(signal)).rejects.toThrow('no system blade3');
    await driver({ system: 'blade2' }).on(signal);
    expect(service.requests.at(-2)).toBe('POST /redfish/v1/Systems/blade2/Actions/ComputerSystem.Reset');
  });

  test('believes the certificate that is pinned and no other; sends no password before', async () => {
    await expect(driver({ pin: 'ab'.repeat(32) }).on(signal)).rejects.toThrow(
      'another certificate than the one',
    );
    await expect(driver({ pin: undefined }).on(signal)).rejects.toMatchObject({
      code: 'PowerFailed',
      hint: expect.stringContaining('(pin)'),
    });
    expect(service.requests).toEqual([]);
  });

  test('says when nobody is there', async () => {
    const { port } = service;
    await service.stop();
    const away = redfish(RedfishSettings.parse({ host: '127.0.0.1', port, user: 'x' }), 'x');
    await expect(away.on(signal)).rejects.toMatchObject({ code: 'PowerFailed' });
    service = await RedfishService.start();
  });
});
