import { execFile } from 'node:child_process';

const HOST = `
  import { readFile } from 'node:fs/promises';
  import { WASI } from 'node:wasi';
  const [file, ...args] = process.argv.slice(1);
  const wasi = new WASI({ version: 'preview1', args: [file, ...args], env: {}, returnOnExit: true });
  const module = await WebAssembly.compile(await readFile(file));
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  process.exitCode = wasi.start(instance);
`;

/** Runs a module plainly, under Node's own WASI: what DRVS's answer is compared with. */
export function runUnderNodeWasi(
  file: string,
  args: string[] = [],
): Promise<{ code: number; stdout: Buffer; stderr: Buffer }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--no-warnings', '--input-type=module', '-e', HOST, file, ...args],
      { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024, env: {} },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}
