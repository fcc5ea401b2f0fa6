import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentPeer } from './agent-peer.js';

/**
 * A machine with a mains switch: a program of one's own (driver `command`) turns it, and while it is on its agent is
 * connected. What the program was asked is written down.
 */
export class Machine {
  #timer: NodeJS.Timeout | null = null;
  #busy: Promise<void> = Promise.resolve();
  /** Whether its agent comes up when there is power. */
  boots = true;

  private constructor(
    readonly folder: string,
    readonly agent: AgentPeer,
  ) {}

  static async behind(agent: AgentPeer): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), 'drvs-machine-'));
    const machine = new Machine(folder, agent);
    await writeFile(join(folder, 'power'), 'on\n');
    await writeFile(join(folder, 'asked'), '');
    await writeFile(
      join(folder, 'switch'),
      `#!/bin/sh
set -e
cd "$(dirname "$0")"
case "$1" in on|off) echo "$1 $2" >> asked ;; esac
[ ! -e broken ] || { echo "the relay sticks" >&2; exit 3; }
case "$1" in
  on|off) echo "$1" > power.new && mv power.new power ;;
  status) cat power ;;
  watts) cat watts 2>/dev/null || exit 1 ;;
esac
`,
    );
    await chmod(join(folder, 'switch'), 0o700);
    machine.#timer = setInterval(() => {
      machine.#busy = machine.#busy.then(() => machine.#follow()).catch(() => undefined);
    }, 50);
    return machine;
  }

  /** As `PATCH nodes/:node/power` takes it. */
  settings(): Record<string, unknown> {
    const program = join(this.folder, 'switch');
    return {
      on: [program, 'on', '{node}'],
      off: [program, 'off', '{node}'],
      status: [program, 'status'],
      watts: [program, 'watts'],
    };
  }

  async asked(): Promise<string[]> {
    return (await readFile(join(this.folder, 'asked'), 'utf8')).trim().split('\n').filter(Boolean);
  }

  async power(): Promise<string> {
    return (await readFile(join(this.folder, 'power'), 'utf8')).trim();
  }

  /** Somebody presses its button. */
  async press(power: 'on' | 'off'): Promise<void> {
    await writeFile(join(this.folder, 'power'), `${power}\n`);
  }

  async breakSwitch(): Promise<void> {
    await writeFile(join(this.folder, 'broken'), '');
  }

  async mendSwitch(): Promise<void> {
    await rm(join(this.folder, 'broken'), { force: true });
  }

  async draws(watts: number): Promise<void> {
    await writeFile(join(this.folder, 'watts'), `${watts} W\n`);
  }

  async remove(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#busy;
    await rm(this.folder, { recursive: true, force: true });
  }

  async #follow(): Promise<void> {
    const isOn = (await this.power()) === 'on';
    if (isOn && this.boots && !this.agent.isConnected) await this.agent.connect();
    if (!isOn && this.agent.isConnected) this.agent.disconnect();
  }
}
