import { rm, writeFile } from 'node:fs/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { SYSTEM } from '../auth/actor.js';
import { hashPassword } from '../auth/password.js';
import { newApiToken, newEnrolmentToken, newPassword } from '../auth/secrets.js';
import { CONFIG, type Config } from '../config/config.js';
import { Database } from '../database/database.js';

const FIRST_USER = 'admin';
const ENROLMENT_MS = 24 * 3_600_000;
const FIRST_START_LOCK = 72_707_370;

/**
 * On a database without users: makes the first administrator with a random password, and where a file is asked for,
 * a token and enrolment tokens for whoever set DRVS up on this machine.
 */
@Injectable()
export class FirstStart implements OnApplicationBootstrap {
  readonly #log = new Logger('FirstStart');

  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if ((await this.database.unrestricted.user.count()) > 0) return;
    const password = newPassword();
    const passwordHash = await hashPassword(password);
    const made = await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM pg_advisory_xact_lock(${FIRST_START_LOCK}::bigint)`;
      if ((await tx.user.count()) > 0) return false;
      const user = await tx.user.create({ data: { name: FIRST_USER, role: 'supra-admin', passwordHash } });
      await this.audit.append(tx, SYSTEM, 'user.create', `user/${FIRST_USER}`, null, { role: 'supra-admin' });
      const { bootstrapFile, bootstrapNodes } = this.config;
      if (bootstrapFile === null) return true;
      const token = newApiToken();
      await tx.apiToken.create({
        data: {
          id: token.id,
          hash: token.hash,
          name: 'first start',
          role: 'supra-admin',
          createdById: user.id,
        },
      });
      const enrolment = Array.from({ length: bootstrapNodes }, newEnrolmentToken);
      const expiresAt = new Date(Date.now() + ENROLMENT_MS);
      await tx.enrolmentToken.createMany({
        data: enrolment.map(({ hash }) => ({ hash, expiresAt, createdBy: 'system' })),
      });
      // Written before the commit: were it the other way round, a crash between the two would lose the only copy.
      // A file left by a start that was rolled back is replaced.
      await rm(bootstrapFile, { force: true });
      await writeFile(
        bootstrapFile,
        `${JSON.stringify({ user: FIRST_USER, password, token: token.token, enrolTokens: enrolment.map((one) => one.token) }, null, 2)}\n`,
        { mode: 0o600, flag: 'wx' },
      );
      return true;
    });
    if (!made) return;
    if (this.config.bootstrapFile !== null) {
      this.#log.log(`the first administrator's credentials are in ${this.config.bootstrapFile}`);
      return;
    }
    // Nowhere else to say it; not through the log, which is kept and shipped.
    process.stderr.write(
      `First start: sign in as ${FIRST_USER} with the password ${password} and change it.\n`,
    );
  }
}
