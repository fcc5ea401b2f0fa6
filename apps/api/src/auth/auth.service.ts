import { DrvsError, ROLES, type Role } from '@drvs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import { AuditService } from '../audit/audit.service.js';
import type { Statement } from '../database/actor-statements.js';
import { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { type Moment, SNAPSHOT_COLUMN } from '../database/moment.js';
import type { Actor } from './actor.js';
import { LoginThrottle } from './login-throttle.js';
import { verifyPassword } from './password.js';
import { isSecretOf, newSecret, parseApiToken, sameSecret, sha256 } from './secrets.js';

export const SESSION_COOKIE = 'drvs_session';
export const CSRF_HEADER = 'x-csrf-token';
/** A session not used for this long ends. */
const SESSION_IDLE_MS = 12 * 3_600_000;
/** Sessions and tokens write down that they were used at most this often. */
const TOUCH_EVERY_MS = 60_000;
const MAX_SESSIONS_PER_USER = 50;

export interface Authenticated {
  actor: Actor;
  /** A browser's session must prove by this token that the page itself asks; null for API tokens. */
  csrfToken: string | null;
  /** The row of the session, null for API tokens. */
  sessionHash: string | null;
  /** At which the credential was read; later than the request came. */
  moment: Moment;
}

export interface Credentials {
  authorization?: string;
  sessionCookie?: string;
}

export interface Viewer {
  id: string;
  name: string;
  role: Role;
  tenant: string | null;
  csrfToken?: string;
}

export const LOGIN_THROTTLE = Symbol('LoginThrottle');

interface TokenRow {
  id: string;
  hash: string;
  name: string;
  tenantId: string | null;
  role: string;
  createdById: string | null;
  expiresAt: Date | null;
  revokedAt: Date | null;
  lastUsedAt: Date | null;
  snapshot: string;
}
interface SessionRow {
  hash: string;
  csrfToken: string;
  expiresAt: Date;
  userId: string;
  userName: string;
  userRole: string;
  userTenantId: string | null;
  snapshot: string;
}
const TOKENS = {
  name: 'auth-tokens',
  text: `SELECT id, hash, name, tenant_id AS "tenantId", role, created_by_id AS "createdById", expires_at AS "expiresAt",
      revoked_at AS "revokedAt", last_used_at AS "lastUsedAt", ${SNAPSHOT_COLUMN}
    FROM api_token WHERE id = ANY($1)`,
};
const SESSIONS = {
  name: 'auth-sessions',
  text: `SELECT s.hash, s.csrf_token AS "csrfToken", s.expires_at AS "expiresAt", u.id AS "userId", u.name AS "userName",
      u.role AS "userRole", u.tenant_id AS "userTenantId", ${SNAPSHOT_COLUMN}
    FROM session s JOIN app_user u ON u.id = s.user_id WHERE s.hash = ANY($1)`,
};

/**
 * Signs in, and tells who a request comes from. Credentials are looked up anew for every request (those of requests
 * that arrive together in one query): what was revoked a moment ago does not hold any more.
 */
@Injectable()
export class AuthService {
  readonly #tokens = this.#gathered<TokenRow>(TOKENS, ({ id }) => id);
  readonly #sessions = this.#gathered<SessionRow>(SESSIONS, ({ hash }) => hash);

  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    @Inject(LOGIN_THROTTLE) private readonly throttle: LoginThrottle,
  ) {}

  /** Null without credentials. @throws DrvsError NotAuthenticated when they are there and do not hold. */
  async authenticate(credentials: Credentials): Promise<Authenticated | null> {
    if (credentials.authorization !== undefined) return this.#byToken(credentials.authorization);
    if (credentials.sessionCookie) return this.#bySession(credentials.sessionCookie);
    return null;
  }

  /** @throws DrvsError NotAllowed when a session's request to change something lacks the token of its page. */
  requireCsrf(authenticated: Authenticated, header: string | undefined): void {
    if (authenticated.csrfToken === null) return;
    if (header !== undefined && sameSecret(header, authenticated.csrfToken)) return;
    throw new DrvsError('NotAllowed', `the header ${CSRF_HEADER} is missing or wrong`, {
      hint: 'Send the csrfToken that the sign-in (or auth/me) answered; programs should use an API token instead.',
      field: CSRF_HEADER,
    });
  }

  async login(
    name: string,
    password: string,
    address: string,
  ): Promise<{ viewer: Viewer; csrfToken: string; cookie: string; expiresAt: Date; actor: Actor }> {
    this.throttle.check(name, address);
    const user = await this.database.unrestricted.user.findUnique({
      where: { name },
      include: { tenant: true },
    });
    const isRight = await verifyPassword(user?.passwordHash ?? null, password);
    if (!user || !isRight) {
      this.throttle.failed(name, address);
      throw new DrvsError('NotAuthenticated', 'the name or the password is wrong', {
        hint: 'An administrator can set a new password.',
      });
    }
    this.throttle.succeeded(name, address);
    const cookie = newSecret();
    const csrfToken = newSecret();
    const expiresAt = new Date(Date.now() + SESSION_IDLE_MS);
    const role = roleOf(user.role);
    const actor: Actor = { userId: user.id, tokenId: null, name: user.name, role, tenantId: user.tenantId };
    await this.database.system(async (tx) => {
      await tx.session.create({ data: { hash: sha256(cookie), userId: user.id, csrfToken, expiresAt } });
      const surplus = await tx.session.findMany({
        where: { userId: user.id },
        orderBy: { createdAt: 'desc' },
        skip: MAX_SESSIONS_PER_USER,
        select: { hash: true },
      });
      await tx.session.deleteMany({ where: { hash: { in: surplus.map(({ hash }) => hash) } } });
      await this.audit.append(tx, actor, 'auth.login', `user/${user.name}`, user.tenantId, { address });
    });
    const viewer: Viewer = { id: user.id, name: user.name, role, tenant: user.tenant?.name ?? null };
    return { viewer, csrfToken, cookie, expiresAt, actor };
  }

  async logout(authenticated: Authenticated): Promise<void> {
    const { sessionHash, actor } = authenticated;
    if (sessionHash === null) {
      throw new DrvsError('StateConflict', 'an API token has no session to end', {
        hint: 'Revoke the token instead: `drvs token revoke ID`.',
      });
    }
    await this.database.system(async (tx) => {
      await tx.session.deleteMany({ where: { hash: sessionHash } });
      await this.audit.append(tx, actor, 'auth.logout', `user/${actor.name}`, actor.tenantId, {});
    });
  }

  async viewer({ actor, csrfToken }: Authenticated): Promise<Viewer> {
    const tenant =
      actor.tenantId === null
        ? null
        : await this.database.unrestricted.tenant.findUnique({ where: { id: actor.tenantId } });
    return {
      id: actor.userId ?? actor.tokenId ?? '',
      name: actor.name,
      role: actor.role,
      tenant: tenant?.name ?? null,
      ...(csrfToken === null ? {} : { csrfToken }),
    };
  }

  /** Rows by key, those of requests that arrive together in one query, with the moment that they are of. */
  #gathered<Row extends pg.QueryResultRow & { snapshot: string }>(
    statement: Statement,
    keyOf: (row: Row) => string,
  ): Gathered<null, { row: Row; moment: Moment }> {
    return new Gathered(async (_, keys) => {
      const { rows, moment } = await this.database.readAtMoment<Row>(statement, [keys]);
      return new Map(rows.map((row) => [keyOf(row), { row, moment }]));
    });
  }

  async #byToken(authorization: string): Promise<Authenticated> {
    const token = parseApiToken(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? '');
    const found = token && (await this.#tokens.load('', null, token.id));
    if (!token || !found || !isSecretOf(found.row.hash, token.secret)) throw staleToken('is not known here');
    const { row, moment } = found;
    if (row.revokedAt !== null) throw staleToken('has been revoked');
    if (row.expiresAt !== null && row.expiresAt <= new Date()) throw staleToken('has expired');
    if (row.lastUsedAt === null || Date.now() - row.lastUsedAt.getTime() > TOUCH_EVERY_MS) {
      await this.database.unrestricted.apiToken.updateMany({
        where: { id: row.id },
        data: { lastUsedAt: new Date() },
      });
    }
    const { createdById: userId, tenantId, name } = row;
    return {
      actor: { userId, tokenId: row.id, name, role: roleOf(row.role), tenantId },
      csrfToken: null,
      sessionHash: null,
      moment,
    };
  }

  async #bySession(cookie: string): Promise<Authenticated> {
    const hash = sha256(cookie);
    const found = await this.#sessions.load('', null, hash);
    if (!found || found.row.expiresAt <= new Date()) {
      throw new DrvsError('NotAuthenticated', 'the session has ended', { hint: 'Sign in again.' });
    }
    const { row: session, moment } = found;
    const expiresAt = new Date(Date.now() + SESSION_IDLE_MS);
    if (expiresAt.getTime() - session.expiresAt.getTime() > TOUCH_EVERY_MS) {
      await this.database.unrestricted.session.updateMany({ where: { hash }, data: { expiresAt } });
    }
    const { userId, userName: name, userRole, userTenantId: tenantId } = session;
    return {
      actor: { userId, tokenId: null, name, role: roleOf(userRole), tenantId },
      csrfToken: session.csrfToken,
      sessionHash: hash,
      moment,
    };
  }
}

/** The database's check holds roles to the same list. */
export function roleOf(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (!role) throw new DrvsError('Internal', `the role ${text} is not known to this version`);
  return role;
}

function staleToken(why: string): DrvsError {
  return new DrvsError('NotAuthenticated', `the API token ${why}`, {
    hint: 'Make a new one with `drvs token create`, or sign in again with `drvs login URL`.',
  });
}
