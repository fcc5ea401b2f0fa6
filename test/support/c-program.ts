import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);
const COMPILERS = ['clang-14', 'clang-16', 'clang-19', 'clang'];

async function findCompiler(): Promise<string | null> {
  for (const name of COMPILERS) {
    if (
      await run(name, ['--version']).then(
        () => true,
        () => false,
      )
    ) {
      return name;
    }
  }
  return null;
}

/** The C compiler that makes WASI modules here, or null: DRVS itself needs none. */
export async function cCompiler(): Promise<string | null> {
  return existsSync('/usr/include/wasm32-wasi/stdio.h') ? findCompiler() : null;
}

/** Compiles as its author would, with no option of ours. */
export async function compileC(compiler: string, source: string, target: string): Promise<void> {
  await run(compiler, ['--target=wasm32-wasi', '-O2', '-o', target, source]);
}
