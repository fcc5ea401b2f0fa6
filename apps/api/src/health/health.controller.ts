import { Controller, Get, HttpStatus, Inject, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Public } from '../auth/public.js';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';

/** Longer than this, the database counts as gone. */
const READY_WITHIN_MS = 2_000;

@ApiExcludeController()
@Controller()
export class HealthController {
  constructor(
    private readonly database: Database,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** The process lives. */
  @Public()
  @Get('healthz')
  health(): { status: string; version: string } {
    return { status: 'ok', version: this.config.version };
  }

  /** It can serve. */
  @Public()
  @Get('readyz')
  async ready(
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<{ status: string; database: string }> {
    const fault = await this.#databaseFault();
    if (fault !== null) reply.status(HttpStatus.SERVICE_UNAVAILABLE);
    return { status: fault === null ? 'ready' : 'not ready', database: fault ?? 'ok' };
  }

  async #databaseFault(): Promise<string | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`no answer within ${READY_WITHIN_MS} ms`), READY_WITHIN_MS);
    });
    try {
      return await Promise.race([this.database.ping().then(() => null), late]);
    } catch {
      return 'not reachable';
    } finally {
      clearTimeout(timer);
    }
  }
}
