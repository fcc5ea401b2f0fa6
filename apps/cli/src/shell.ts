import { createInterface } from 'node:readline/promises';
import type { OperationView } from '@drvs/contracts';
import { ApiClient } from './api/client.js';
import { credentials } from './config-file.js';
import { EXIT_INTERRUPTED, Exit, Failure } from './failure.js';
import { Interrupts } from './interrupts.js';
import { Progress } from './output/progress.js';
import { renderFacts, renderTable } from './output/table.js';

/** Everything that a command has of the world: streams, environment, the API, signals. */
export class Shell {
  isJson = false;
  /** What a command starts must have ended after so many seconds. */
  deadlineSeconds: number | null = null;
  readonly interrupts = new Interrupts((code) => this.exit(code));
  #client: ApiClient | null = null;

  constructor(
    readonly env: Readonly<Record<string, string | undefined>> = process.env,
    readonly stdin: NodeJS.ReadStream = process.stdin,
    readonly stdout: NodeJS.WriteStream = process.stdout,
    readonly stderr: NodeJS.WriteStream = process.stderr,
  ) {}

  async client(): Promise<ApiClient> {
    if (this.#client === null) {
      const progress = this.progress();
      this.#client = new ApiClient(
        await credentials(this.env),
        (text) => (text === null ? progress.clear() : progress.show(text)),
        this.deadlineSeconds,
      );
    }
    return this.#client;
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }

  exit(code: number): never {
    process.exit(code);
  }

  /** The answer, to standard output. */
  out(text: string): void {
    this.stdout.write(text);
  }

  /** A message beside the answer, to standard error. */
  note(text: string): void {
    this.stderr.write(`${text}\n`);
  }

  /** One JSON value with --json, else what `render` makes of it. */
  answer<T>(value: T, render: (value: T) => string): void {
    this.out(this.isJson ? `${JSON.stringify(value, null, 2)}\n` : render(value));
  }

  table<T>(items: readonly T[], columns: Readonly<Record<string, (item: T) => string>>, empty: string): void {
    this.answer(items, () => {
      if (items.length === 0) {
        this.note(empty);
        return '';
      }
      return renderTable(
        Object.keys(columns),
        items.map((item) => Object.values(columns).map((column) => column(item))),
      );
    });
  }

  facts<T>(value: T, facts: readonly (readonly [string, string | null | undefined])[]): void {
    this.answer(value, () => renderFacts(facts));
  }

  progress(): Progress {
    return new Progress(this.stderr);
  }

  /** Asks before something is lost. Where nobody can answer (no terminal) the command itself is the answer. */
  async confirm(question: string, isSure: boolean | undefined): Promise<void> {
    if (isSure || !this.stdin.isTTY || !this.stderr.isTTY) return;
    const lines = createInterface({ input: this.stdin, output: this.stderr });
    try {
      const answer = await lines.question(`${question} [y/N] `, { signal: this.#untilInterrupted(lines) });
      if (!/^y(es)?$/i.test(answer.trim())) throw new Exit(1);
    } finally {
      lines.close();
    }
  }

  async ask(question: string): Promise<string> {
    const lines = createInterface({ input: this.stdin, output: this.stderr });
    try {
      return (await lines.question(question, { signal: this.#untilInterrupted(lines) })).trim();
    } finally {
      lines.close();
    }
  }

  #untilInterrupted(lines: { on(event: 'SIGINT', listener: () => void): unknown }): AbortSignal {
    const abort = new AbortController();
    lines.on('SIGINT', () => {
      this.note('');
      this.exit(EXIT_INTERRUPTED);
    });
    return abort.signal;
  }

  /** Reads a secret from the terminal without showing it. */
  async askSecret(question: string): Promise<string> {
    const { stdin } = this;
    if (!stdin.isTTY)
      throw new Failure('WrongUsage', 'there is no terminal to ask for the password', { exitCode: 2 });
    this.stderr.write(question);
    stdin.setRawMode(true);
    try {
      const bytes: number[] = [];
      for await (const chunk of stdin as AsyncIterable<Buffer>) {
        for (const byte of chunk) {
          if (byte === 3) throw new Exit(EXIT_INTERRUPTED);
          if (byte === 13 || byte === 10 || byte === 4) return Buffer.from(bytes).toString('utf8');
          if (byte === 127 || byte === 8) bytes.pop();
          else bytes.push(byte);
        }
      }
      return Buffer.from(bytes).toString('utf8');
    } finally {
      stdin.setRawMode(false);
      this.note('');
    }
  }

  async readStdin(bytesMax: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.stdin as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > bytesMax)
        throw new Failure('PayloadTooLarge', `standard input is larger than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  /** The operation as it ended; null where nobody wants to wait for it (--no-wait): then its id is the answer. */
  async ended(operation: OperationView, wait: boolean): Promise<OperationView | null> {
    if (wait) return this.follow(operation);
    this.answer(operation, ({ id }) => `${id}\n`);
    return null;
  }

  /**
   * Waits for an operation with a bar. ^C leaves it going on and says how to follow it.
   * @param onAwaited does what the operation waits for; the bar is away meanwhile
   * @throws Failure with the operation's own error when it did not succeed
   */
  async follow(
    operation: OperationView,
    onAwaited?: (view: OperationView) => Promise<void>,
  ): Promise<OperationView> {
    const client = await this.client();
    const progress = this.progress();
    using _ = this.interrupts.take((_signal, _count) => {
      progress.clear();
      this.note(`${operation.kind} of ${operation.subject} goes on as operation ${operation.id}`);
      this.note(
        `follow it with \`drvs op wait ${operation.id}\`, stop it with \`drvs op cancel ${operation.id}\``,
      );
      this.exit(EXIT_INTERRUPTED);
    });
    const show = (view: OperationView): void => {
      const step = view.steps.find(({ state }) => state === 'running');
      progress.show(`${view.kind} ${view.subject}${step ? `: ${step.name}` : ''}`, view.progress);
    };
    show(operation);
    try {
      const ended = await client.wait(operation.id, {
        onProgress: async (view) => {
          if (!onAwaited || !view.awaits?.length) return show(view);
          progress.clear();
          await onAwaited(view);
        },
        pollSeconds: this.stderr.isTTY || onAwaited ? 1 : 20,
      });
      assertSucceeded(ended);
      return ended;
    } finally {
      progress.clear();
    }
  }
}

export function assertSucceeded(operation: OperationView): void {
  if (operation.state === 'succeeded') return;
  const { error, id, kind, subject, state } = operation;
  const failedStep = operation.steps.find((step) => step.state === 'failed');
  throw new Failure(
    error?.code ?? (state === 'cancelled' ? 'Cancelled' : 'OperationFailed'),
    error?.message ??
      `${kind} of ${subject} is ${state}${failedStep ? ` (step ${failedStep.name}: ${failedStep.error})` : ''}`,
    { hint: error?.hint ?? `See \`drvs op show ${id}\`.`, details: { operation: id, state } },
  );
}
