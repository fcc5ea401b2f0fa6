// Brings node_modules to what package-lock.json says. Runs on the machine's own Node (>= 20), before anything is installed.
// One install at a time: a lock file names the process that installs; others wait for it. An install that was interrupted
// leaves no stamp behind, so the next command repairs it.
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const wanted = process.argv[2];
const stamp = join(root, 'node_modules', '.drvs-lock');
const lock = join(root, '.cache', 'install.lock');
/** Nobody waits longer than this for another install. */
const WAIT_MS = 20 * 60_000;

const stampIsRight = () => existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === wanted;

/** Start time in clock ticks since boot: with the pid it names a process for good, also when the pid is used again. */
function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return null;
  }
}

function isHeld() {
  let holder;
  try {
    holder = JSON.parse(readFileSync(lock, 'utf8'));
  } catch {
    return false; // Written in part by a process that died, or gone in the meantime.
  }
  if (existsSync('/proc/self/stat')) return startTime(holder.pid) === holder.startTime;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function take() {
  mkdirSync(dirname(lock), { recursive: true });
  try {
    const file = openSync(lock, 'wx');
    writeSync(file, JSON.stringify({ pid: process.pid, startTime: startTime(process.pid) }));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function acquire() {
  const deadline = Date.now() + WAIT_MS;
  let told = false;
  for (;;) {
    if (take()) return;
    if (!isHeld()) {
      await sleep(200); // It may be between creating the file and writing its pid.
      if (!isHeld()) rmSync(lock, { force: true });
      continue;
    }
    if (Date.now() > deadline) {
      console.error(`error: another install still runs after ${WAIT_MS / 60_000} minutes (${lock})`);
      process.exit(1);
    }
    if (!told) console.error('another drvs command is installing packages; waiting for it');
    told = true;
    await sleep(300);
  }
}

/** True when npm itself (run by hand, or by an earlier version of this script) has installed exactly the lock file. */
function matchesLockFile() {
  let lockFile;
  let installed;
  try {
    lockFile = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    installed = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  for (const [path, entry] of Object.entries(lockFile)) {
    if (!path.includes('node_modules/')) continue;
    const have = installed[path];
    if (!have) {
      if (entry.optional || entry.peer || entry.devOptional) continue; // For another platform.
      return false;
    }
    if (have.version !== entry.version || have.integrity !== entry.integrity) return false;
    if (!entry.link && !existsSync(join(root, path, 'package.json'))) return false;
  }
  return true;
}

function npmCi() {
  return new Promise((resolve) => {
    const started = Date.now();
    const isTty = process.stderr.isTTY === true;
    const child = spawn(
      'npm',
      ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'],
      {
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-8_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const seconds = () => Math.round((Date.now() - started) / 1000);
    const ticker = setInterval(
      () => {
        if (isTty) process.stderr.write(`\rinstalling packages (npm ci) … ${seconds()} s `);
        else console.error(`installing packages (npm ci) … ${seconds()} s`);
      },
      isTty ? 1_000 : 15_000,
    );
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => {
      output += error.message;
    });
    child.on('close', (code, signal) => {
      clearInterval(ticker);
      if (isTty) process.stderr.write('\r\x1b[K');
      resolve({ code: code ?? 1, signal, output, seconds: seconds() });
    });
  });
}

await acquire();
let failed = false;
try {
  if (!stampIsRight()) {
    if (!matchesLockFile()) {
      rmSync(stamp, { force: true });
      console.error('installing packages (npm ci); this is needed once, and after an update');
      const { code, signal, output, seconds } = await npmCi();
      if (signal || code !== 0) {
        failed = true;
        if (signal) console.error('error: the install was interrupted; the next command takes it up again');
        else {
          console.error(output.trim());
          console.error(`error: npm ci failed (exit ${code}) after ${seconds} s`);
          console.error(
            'hint:  see the lines above; is the npm registry reachable, is the disk full? Then run the command again.',
          );
        }
      } else console.error(`installed in ${seconds} s`);
    }
    if (!failed) writeFileSync(stamp, `${wanted}\n`);
  }
} finally {
  rmSync(lock, { force: true });
}
process.exit(failed ? 1 : 0);
