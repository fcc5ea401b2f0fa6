import { Readable } from 'node:stream';
import { DrvsError, FileStat } from '@drvs/contracts';
import {
  Body,
  Controller,
  Delete,
  Get,
  HttpCode,
  type OnModuleInit,
  Param,
  Post,
  Put,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { hangUpSignal } from '../http/hang-up.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { THROUGH_CONTAINER } from '../openapi/problems.js';
import { FilesService } from './files.service.js';

const STREAM = 'application/octet-stream';

const Path = z
  .string()
  .min(1)
  .max(4_096)
  .startsWith('/', 'a path inside the DRVM begins with /')
  .refine((path) => !path.includes('\0'), 'a path holds no NUL');
const LookQuery = z.object({
  path: Path,
  list: z.stringbool().default(false),
  stat: z.stringbool().default(false),
});
const ReadQuery = z.object({ path: Path });
const WriteQuery = z.object({
  path: Path.refine((path) => !path.endsWith('/'), 'a file is wanted, not a directory'),
  parents: z.stringbool().default(false),
  mode: z
    .string()
    .regex(/^(0o?)?[0-7]{1,4}$/, 'octal, for instance 644')
    .default('644')
    .transform((octal) => Number.parseInt(octal.replace(/^0o/, ''), 8)),
});
const MakeDirectory = z.object({ path: Path, parents: z.boolean().default(false) });
const Rename = z.object({ from: Path, to: Path });
const RemoveQuery = z.object({ path: Path, recursive: z.stringbool().default(false) });
const FileList = z.object({ items: z.array(FileStat), nextCursor: z.null() });
const PROBLEMS = [...THROUGH_CONTAINER, 'AlreadyExists', 'InsufficientResources'] as const;

@ApiTags('files')
@Controller('api/v1/drvms/:drvm/files')
export class FilesController implements OnModuleInit {
  constructor(
    private readonly files: FilesService,
    private readonly adapter: HttpAdapterHost,
  ) {}

  /** Uploads are read as they come, not gathered in memory first. */
  onModuleInit(): void {
    const fastify = this.adapter.httpAdapter.getInstance<FastifyInstance>();
    if (!fastify.hasContentTypeParser(STREAM)) {
      fastify.addContentTypeParser(STREAM, (_request, _payload, done) => done(null, undefined));
    }
  }

  @Get()
  @Endpoint({
    summary: 'What is in a directory (list=true), or one file (stat=true)',
    query: LookQuery,
    answer: z.union([FileList, FileStat]),
    problems: PROBLEMS,
    description: 'With list=true a page of files; else the file itself.',
  })
  async look(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Query(new ZodPipe(LookQuery)) { path, list }: z.infer<typeof LookQuery>,
  ): Promise<FileStat | z.infer<typeof FileList>> {
    if (!list) return this.files.stat(actor, drvm, path);
    return { items: await this.files.list(actor, drvm, path), nextCursor: null };
  }

  @Get('content')
  @Endpoint({
    summary: 'The bytes of a file',
    query: ReadQuery,
    media: { type: STREAM },
    problems: PROBLEMS,
  })
  async read(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Query(new ZodPipe(ReadQuery)) { path }: z.infer<typeof ReadQuery>,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const pieces = await this.files.read(actor, drvm, path, hangUpSignal(reply));
    await reply
      .header('content-type', STREAM)
      .header('content-disposition', 'attachment')
      .header('x-content-type-options', 'nosniff')
      .send(Readable.from(pieces, { objectMode: false, highWaterMark: 1 }));
  }

  @Put('content')
  @HttpCode(200)
  @ApiConsumes(STREAM)
  @Endpoint({
    summary: 'Write a file, whole or not at all',
    query: WriteQuery,
    answer: FileStat,
    problems: [...PROBLEMS, 'PayloadTooLarge'],
  })
  async write(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Query(new ZodPipe(WriteQuery)) query: z.infer<typeof WriteQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<FileStat> {
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim();
    if (type !== STREAM) {
      throw new DrvsError('InvalidInput', `The content type is ${type ?? 'missing'}`, {
        hint: `Send the bytes as they are, with Content-Type: ${STREAM}.`,
        field: 'Content-Type',
      });
    }
    const announced = request.headers['content-length'];
    const announcedBytes = announced === undefined ? null : Number(announced);
    try {
      return await this.files.write(
        actor,
        drvm,
        { ...query, announcedBytes },
        request.raw,
        hangUpSignal(reply),
      );
    } catch (error) {
      // What of the body has not been read would otherwise be taken for the connection's next request.
      if (!request.raw.complete) void reply.header('connection', 'close');
      throw error;
    }
  }

  @Post('directories')
  @HttpCode(201)
  @Endpoint({
    summary: 'Make a directory',
    body: MakeDirectory,
    answer: FileStat,
    status: 201,
    problems: PROBLEMS,
    idempotent: true,
  })
  makeDirectory(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Body(new ZodPipe(MakeDirectory)) { path, parents }: z.infer<typeof MakeDirectory>,
  ): Promise<FileStat> {
    return this.files.makeDirectory(actor, drvm, path, parents);
  }

  @Post('rename')
  @HttpCode(200)
  @Endpoint({
    summary: 'Give a file another name',
    body: Rename,
    answer: FileStat,
    problems: PROBLEMS,
    idempotent: true,
  })
  rename(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Body(new ZodPipe(Rename)) { from, to }: z.infer<typeof Rename>,
  ): Promise<FileStat> {
    return this.files.rename(actor, drvm, from, to);
  }

  @Delete()
  @HttpCode(204)
  @Endpoint({
    summary: 'Remove a file, or with recursive a directory',
    query: RemoveQuery,
    status: 204,
    problems: PROBLEMS,
    idempotent: true,
  })
  remove(
    @CurrentActor() actor: Actor,
    @Param('drvm') drvm: string,
    @Query(new ZodPipe(RemoveQuery)) { path, recursive }: z.infer<typeof RemoveQuery>,
  ): Promise<void> {
    return this.files.remove(actor, drvm, path, recursive);
  }
}
