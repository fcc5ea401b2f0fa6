// Erlang distribution as a peer: two nodes, a process that answers what it gets, and callers that measure. It has no TLS here.
// Not installed (Debian: erlang-base): absent.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PROGRAM = `
-module(echo).
-export([serve/0, measure/1]).

serve() ->
    register(echo, self()),
    io:format("ready~n"),
    loop().

loop() ->
    receive
        {From, Ref, Bytes} -> From ! {Ref, Bytes}
    end,
    loop().

measure([Node, Bytes, One, Many, Outstanding]) ->
    pong = net_adm:ping(list_to_atom(Node)),
    To = {echo, list_to_atom(Node)},
    Body = binary:copy(<<7>>, list_to_integer(Bytes)),
    _ = times(To, Body, list_to_integer(One)),
    Times = lists:sort(times(To, Body, list_to_integer(One))),
    P50 = lists:nth(length(Times) div 2, Times),
    Calls = list_to_integer(Many),
    Began = erlang:monotonic_time(nanosecond),
    flood(To, Body, Calls, list_to_integer(Outstanding)),
    Took = erlang:monotonic_time(nanosecond) - Began,
    io:format("~p ~p~n", [P50 / 1000, Calls * 1.0e6 / Took]),
    halt(0).

times(_, _, 0) -> [];
times(To, Body, N) ->
    Ref = make_ref(),
    Began = erlang:monotonic_time(nanosecond),
    To ! {self(), Ref, Body},
    receive {Ref, _} -> ok end,
    [erlang:monotonic_time(nanosecond) - Began | times(To, Body, N - 1)].

flood(To, Body, Calls, Outstanding) ->
    Ref = make_ref(),
    [To ! {self(), Ref, Body} || _ <- lists:seq(1, Outstanding)],
    go(To, Body, Ref, Calls - Outstanding, Outstanding).

go(_, _, _, 0, 0) -> ok;
go(To, Body, Ref, 0, Waiting) ->
    receive {Ref, _} -> go(To, Body, Ref, 0, Waiting - 1) end;
go(To, Body, Ref, Left, Waiting) ->
    receive {Ref, _} -> To ! {self(), Ref, Body} end,
    go(To, Body, Ref, Left - 1, Waiting).
`;

/** @returns {measure(bytes, one, many, outstanding, cpu), stop()}, or null where Erlang is not installed */
export async function startErlang() {
  const folder = mkdtempSync(join(tmpdir(), 'drvs-bench-erlang-'));
  // (Its port mapper and cookie are the benchmark's own.)
  const env = { ...process.env, HOME: folder, ERL_EPMD_PORT: String(20_000 + (process.pid % 20_000)) };
  const clean = () => rmSync(folder, { recursive: true, force: true });
  try {
    writeFileSync(join(folder, 'echo.erl'), PROGRAM);
    execFileSync('erlc', ['-o', folder, join(folder, 'echo.erl')], { env, stdio: 'pipe' });
  } catch (error) {
    clean();
    if (error.code === 'ENOENT') return null;
    throw error;
  }
  const shared = ['-noshell', '-setcookie', 'drvs-bench', '-pa', folder];
  const server = spawn('erl', ['-name', 'echo@127.0.0.1', ...shared, '-run', 'echo', 'serve'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (code) => reject(new Error(`erl ended with ${code}`)));
  });
  return {
    pid: server.pid,
    /** p50 in µs and round trips per ms. `cpu`: on this core alone, or null. */
    measure(bytes, one, many, outstanding, cpu) {
      const args = ['-name', 'caller@127.0.0.1', ...shared, '-run', 'echo', 'measure', 'echo@127.0.0.1'];
      const erl = ['erl', ...args, ...[bytes, one, many, outstanding].map(String)];
      const [program, ...rest] = cpu === null ? erl : ['taskset', '-c', String(cpu), ...erl];
      const [p50, rate] = execFileSync(program, rest, { env, encoding: 'utf8' })
        .trim()
        .split(' ')
        .map(Number);
      return { p50, rate };
    },
    async stop() {
      server.removeAllListeners('exit');
      const gone = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGKILL');
      await gone;
      execFileSync('epmd', ['-kill'], { env, stdio: 'ignore' });
      clean();
    },
  };
}
