import { ExitStatus, type OperationView, ProcessRow, StartProcess } from '@drvs/contracts';
import { Body, Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { hangUpSignal } from '../http/hang-up.js';
import { StreamedAnswer } from '../http/streamed-answer.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { OperationAnswer } from '../openapi/answers.js';
import { Endpoint } from '../openapi/endpoint.js';
import { THROUGH_CONTAINER } from '../openapi/problems.js';
import { ProcessesService } from './processes.service.js';

/** A request may wait this long at most; a client that wants to wait longer asks again. */
export const MAX_WAIT_SECONDS = 300;
const NDJSON = 'application/x-ndjson';
/** Without any output for this long the head of the answer is sent, so that the client knows it is being served. */
const HEAD_AFTER_MS = 300;

const Pid = z.coerce.number().int().min(0);
const Kill = z.object({ signal: z.string().max(20).default('SIGTERM') });
const Migrate = z.object({ to: z.string().min(1).max(63) });
const Started = z.object({ pid: z.int(), node: z.string() });
const Killed = z.object({ pid: z.int(), signal: z.string() });
const Wait = z.object({ timeoutSeconds: z.coerce.number().min(0).max(MAX_WAIT_SECONDS).default(30) });
const OutputQuery = z.object({
  offset: z.coerce.number().int().min(0).default(0),
  follow: z.stringbool().default(false),
});
const ProcessList = z.object({ items: z.array(ProcessRow), nextCursor: z.null() });
const OutputLine = z.union([
  z.object({ stream: z.string(), offset: z.int(), base64: z.string() }),
  z.object({ exit: ExitStatus.nullable(), nextOffset: z.int(), lost: z.int() }),
]);

@ApiTags('processes')
@Controller('api/v1/drvms/:drvm/processes')
export class ProcessesController {
  constructor(private readonly processes: ProcessesService) {}

  @Get()
  @Endpoint({
    summary: 'The processes of a DRVM, on all its nodes',
    answer: ProcessList,
    problems: THROUGH_CONTAINER,
  })
  async list(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
  ): Promise<z.infer<typeof ProcessList>> {
    return { items: await this.processes.list(actor, drvm), nextCursor: null };
  }

  @Post()
  @Endpoint({
    summary: 'Start a program that is in the files of the DRVM',
    body: StartProcess,
    answer: Started,
    status: 201,
    problems: [...THROUGH_CONTAINER, 'NotWebAssembly', 'UnsupportedModule', 'ProgramTooLarge'],
    idempotent: true,
  })
  start(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Body(new ZodPipe(StartProcess)) request: z.infer<typeof StartProcess>,
    @Req() { headers }: FastifyRequest,
  ): Promise<z.infer<typeof Started>> {
    const key = headers['idempotency-key'];
    const requestKey = request.requestKey ?? (typeof key === 'string' ? key : undefined);
    return this.processes.start(actor, drvm, { ...request, requestKey });
  }

  @Get(':pid')
  @Endpoint({ summary: 'One process', answer: ProcessRow, problems: THROUGH_CONTAINER })
  show(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Param('pid', new ZodPipe(Pid)) pid: number,
  ): Promise<ProcessRow> {
    return this.processes.show(actor, drvm, pid);
  }

  @Post(':pid/kill')
  @HttpCode(200)
  @Endpoint({
    summary: 'Send a signal to a process',
    body: Kill,
    answer: Killed,
    problems: THROUGH_CONTAINER,
    idempotent: true,
  })
  kill(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Param('pid', new ZodPipe(Pid)) pid: number,
    @Body(new ZodPipe(Kill)) { signal }: z.infer<typeof Kill>,
  ): Promise<z.infer<typeof Killed>> {
    return this.processes.kill(actor, drvm, pid, signal);
  }

  @Post(':pid/migrate')
  @HttpCode(202)
  @Endpoint({
    summary: 'Move a process to another node while it runs',
    body: Migrate,
    answer: OperationAnswer,
    status: 202,
    problems: [...THROUGH_CONTAINER, 'MigrationUnderWay'],
    idempotent: true,
  })
  async migrate(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Param('pid', new ZodPipe(Pid)) pid: number,
    @Body(new ZodPipe(Migrate)) { to }: z.infer<typeof Migrate>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OperationView> {
    const operation = await this.processes.migrate(actor, drvm, pid, to);
    void reply.header('location', `/api/v1/operations/${operation.id}`);
    return operation;
  }

  @Get(':pid/wait')
  @Endpoint({
    summary: 'Wait until a process has ended; 204 when it has not by then',
    query: Wait,
    answer: ExitStatus,
    alsoAnswers: { 204: null },
    problems: THROUGH_CONTAINER,
  })
  async wait(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Param('pid', new ZodPipe(Pid)) pid: number,
    @Query(new ZodPipe(Wait)) { timeoutSeconds }: z.infer<typeof Wait>,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ExitStatus | undefined> {
    const signal = hangUpSignal(reply);
    const status = await this.processes.wait(actor, drvm, pid, timeoutSeconds * 1_000, signal);
    if (status === null) void reply.status(204);
    return status ?? undefined;
  }

  @Get(':pid/output')
  @Endpoint({
    summary: 'What a process wrote',
    description:
      'Lines of JSON: `{stream, offset, base64}` for each piece, at the end `{exit, nextOffset, lost}`. With `follow` ' +
      'it ends when the process has.',
    query: OutputQuery,
    media: { type: NDJSON, schema: OutputLine },
    problems: THROUGH_CONTAINER,
  })
  async output(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Param('pid', new ZodPipe(Pid)) pid: number,
    @Query(new ZodPipe(OutputQuery)) { offset, follow }: z.infer<typeof OutputQuery>,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const signal = hangUpSignal(reply);
    const lines = new StreamedAnswer(reply, { 'content-type': NDJSON }, signal);
    const write = (line: object): Promise<void> => lines.write(`${JSON.stringify(line)}\n`);
    const headTimer = setTimeout(() => lines.begin(), HEAD_AFTER_MS);
    try {
      const end = await this.processes.output(
        actor,
        drvm,
        { pid, offset, follow },
        ({ stream, offset: at, bytes }) =>
          write({ stream, offset: at, base64: Buffer.from(bytes).toString('base64') }),
        signal,
      );
      await write({ exit: end.exit, nextOffset: end.nextOffset, lost: end.lost });
      lines.end();
    } catch (error) {
      if (!lines.hasBegun) throw error;
      lines.breakOff();
    } finally {
      clearTimeout(headTimer);
    }
  }
}
