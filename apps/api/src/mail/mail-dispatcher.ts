import { Injectable, Logger } from '@nestjs/common';
import { createTransport } from 'nodemailer';
import { Database } from '../database/database.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import type { Smtp } from '../settings/settings.js';
import { SettingsService } from '../settings/settings.service.js';

const LOOK_EVERY_MS = 2_000;
const BATCH = 20;
const LOCK = 'mail';
/** About a day of attempts. */
const MAX_ATTEMPTS = 12;
const FIRST_PAUSE_SECONDS = 5;
const LONGEST_PAUSE_SECONDS = 3 * 3_600;
const SMTP_TIMEOUT_MS = 20_000;

interface MailRow {
  id: bigint;
  recipients: string[];
  subject: string;
  body: string;
  attempts: number;
}

/**
 * Brings mail from the outbox to the server that the settings name: each at least once, tried again while the server is
 * away. One API process at a time sends. Without a server the mail waits until there is one, or until it is too old.
 */
@Injectable()
export class MailDispatcher extends RecurringService {
  readonly #logger = new Logger('Mail');
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    (signal) => this.#sendAlone(signal),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly settings: SettingsService,
  ) {
    super();
  }

  async #sendAlone(signal: AbortSignal): Promise<void> {
    const smtp = await this.settings.get('mail.smtp');
    if (smtp === null) return;
    const mails = await this.database.unrestricted.$queryRaw<MailRow[]>`
      SELECT id, recipients, subject, body, attempts FROM mail_outbox
      WHERE state = 'pending' AND (retry_at IS NULL OR retry_at <= now()) ORDER BY id LIMIT ${BATCH}`;
    if (mails.length === 0) return;
    await this.session.alone(LOCK, async () => {
      for (const mail of mails) if (!signal.aborted) await this.#send(smtp, mail);
    });
  }

  async #send(smtp: Smtp, mail: MailRow): Promise<void> {
    const transport = createTransport({
      host: smtp.host,
      port: smtp.port,
      secure: smtp.secure,
      requireTLS: smtp.requireTls,
      auth: smtp.user === undefined ? undefined : { user: smtp.user, pass: smtp.password ?? '' },
      connectionTimeout: SMTP_TIMEOUT_MS,
      greetingTimeout: SMTP_TIMEOUT_MS,
      socketTimeout: SMTP_TIMEOUT_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    const { unrestricted } = this.database;
    try {
      await transport.sendMail({
        from: smtp.from,
        to: mail.recipients,
        subject: mail.subject,
        text: mail.body,
        // The same at each attempt: a reader's program shows one that came twice once.
        messageId: `<drvs-${mail.id}@${smtp.from.split('@').at(-1)?.replace(/>$/, '') ?? 'drvs'}>`,
        headers: { 'Auto-Submitted': 'auto-generated' },
      });
      await unrestricted.$executeRaw`
        UPDATE mail_outbox SET state = 'sent', attempts = attempts + 1, ended_at = now(), error = NULL WHERE id = ${mail.id}`;
    } catch (error) {
      const message = (error as Error).message.slice(0, 500);
      const isDead = mail.attempts + 1 >= MAX_ATTEMPTS;
      const pause = Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** mail.attempts);
      await unrestricted.$executeRaw`
        UPDATE mail_outbox SET attempts = attempts + 1, error = ${message},
          state = ${isDead ? 'dead' : 'pending'}, ended_at = CASE WHEN ${isDead} THEN now() END,
          retry_at = now() + make_interval(secs => ${pause}::float8 * (0.5 + random() / 2))
        WHERE id = ${mail.id}`;
      this.#logger.warn(`mail ${mail.id} ${isDead ? 'is given up' : 'is sent again later'}: ${message}`);
    } finally {
      transport.close();
    }
  }
}
