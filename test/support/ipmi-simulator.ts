import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why it cannot run here; null when it can. */
export function whyNoIpmi(): string | null {
  const missing = ['ipmi_sim', 'ipmitool'].filter((name) => spawnSync('which', [name]).status !== 0);
  return missing.length === 0 ? null : `${missing.join(' and ')} missing (Debian: openipmi, ipmitool)`;
}

/** OpenIPMI's simulator of a management controller (ipmi_sim(1), ipmi_lan(5)), with a chassis that is a file. */
export class IpmiSimulator {
  static readonly user = 'drvs';
  static readonly password = 'a-secret-word';

  private constructor(
    private readonly folder: string,
    readonly port: number,
    private readonly process: ChildProcess,
  ) {}

  static async start(): Promise<IpmiSimulator> {
    const folder = await mkdtemp(join(tmpdir(), 'drvs-ipmi-'));
    const port = await freeUdpPort();
    await writeFile(join(folder, 'power'), '0');
    await writeFile(
      join(folder, 'chassis'),
      `#!/bin/sh
cd "$(dirname "$0")"
verb=$1; shift
case $verb in
  get) for name in "$@"; do [ "$name" = power ] && echo "power:$(cat power)"; done ;;
  set)
    while [ $# -gt 1 ]; do
      echo "$1 $2" >> asked
      case $1 in power) printf %s "$2" > power ;; shutdown) printf 0 > power ;; esac
      shift 2
    done ;;
esac
exit 0
`,
    );
    await chmod(join(folder, 'chassis'), 0o700);
    await writeFile(
      join(folder, 'lan.conf'),
      `name "drvs"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 ${port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "${join(folder, 'chassis')}"
  user 1 true "" "" user 10 none
  user 2 true "${IpmiSimulator.user}" "${IpmiSimulator.password}" admin 10 none md2 md5 straight
`,
    );
    await writeFile(
      join(folder, 'emulation'),
      'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n',
    );
    const args = [
      '-n',
      '-c',
      join(folder, 'lan.conf'),
      '-f',
      join(folder, 'emulation'),
      '-s',
      join(folder, 'state'),
    ];
    const child = spawn('ipmi_sim', args, { stdio: 'ignore' });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', () => resolve());
      child.once('error', reject);
    });
    return new IpmiSimulator(folder, port, child);
  }

  async isOn(): Promise<boolean> {
    return (await readFile(join(this.folder, 'power'), 'utf8')) === '1';
  }

  async asked(): Promise<string[]> {
    return (await readFile(join(this.folder, 'asked'), 'utf8').catch(() => ''))
      .trim()
      .split('\n')
      .filter(Boolean);
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.process;
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    if (exitCode === null && signalCode === null) {
      this.process.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

function freeUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
