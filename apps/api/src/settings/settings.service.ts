import { DrvsError, type SettingView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { SecretBox } from '../config/secret-box.js';
import { Database } from '../database/database.js';
import { Prisma } from '../gen/client.js';
import { SETTING_KEYS, SETTINGS, type SettingKey, type SettingValue } from './settings.js';

/** A value set in another API process holds here after this at the latest. */
const FRESH_MS = 2_000;

interface AnySetting {
  schema: z.ZodType;
  default: unknown;
  about: string;
  withoutSecrets?: (value: never) => unknown;
}

/** What supra-administrators have set, and what holds where they have not. */
@Injectable()
export class SettingsService {
  #changes = 0;
  readonly #known = new Map<SettingKey, { value: unknown; until: number }>();

  constructor(
    private readonly database: Database,
    private readonly secrets: SecretBox,
    private readonly audit: AuditService,
  ) {}

  async get<K extends SettingKey>(key: K): Promise<SettingValue<K>> {
    const known = this.#known.get(key);
    if (known && known.until > performance.now()) return known.value as SettingValue<K>;
    const changes = this.#changes;
    const row = await this.database.unrestricted.setting.findUnique({ where: { key } });
    const value = row ? this.#parse(key, row.value) : SETTINGS[key].default;
    // What was read while it was being changed may be what was before.
    if (changes === this.#changes) this.#known.set(key, { value, until: performance.now() + FRESH_MS });
    return value as SettingValue<K>;
  }

  async list(actor: Actor): Promise<SettingView[]> {
    requirePermission(actor, 'setting:read');
    const rows = await this.database.unrestricted.setting.findMany({ where: { key: { in: SETTING_KEYS } } });
    const set = new Map(rows.map(({ key, value }) => [key, value]));
    return SETTING_KEYS.map((key) =>
      this.#view(key, set.has(key) ? this.#parse(key, set.get(key)) : undefined),
    );
  }

  async set(actor: Actor, name: string, input: unknown): Promise<SettingView> {
    requirePermission(actor, 'setting:write');
    const key = requireKey(name);
    const shape: AnySetting = SETTINGS[key];
    const parsed = shape.schema.safeParse(input);
    if (!parsed.success) {
      const [fault] = parsed.error.issues;
      const where = fault && fault.path.length > 0 ? `${fault.path.join('.')}: ` : '';
      throw new DrvsError('InvalidInput', `${key} cannot be that: ${where}${fault?.message}`, {
        field: 'value',
        hint: `It is: ${shape.about}.`,
      });
    }
    const value = this.#toStore(key, parsed.data);
    await this.database.system(async (tx) => {
      await tx.setting.upsert({ where: { key }, create: { key, value }, update: { value } });
      await this.audit.append(tx, actor, 'setting.set', `setting/${key}`, null, {
        value: shown(shape, parsed.data) as Prisma.InputJsonValue,
      });
    });
    this.#forget(key);
    return this.#view(key, parsed.data);
  }

  async unset(actor: Actor, name: string): Promise<SettingView> {
    requirePermission(actor, 'setting:write');
    const key = requireKey(name);
    await this.database.system(async (tx) => {
      await tx.setting.deleteMany({ where: { key } });
      await this.audit.append(tx, actor, 'setting.unset', `setting/${key}`, null, {});
    });
    this.#forget(key);
    return this.#view(key, undefined);
  }

  #forget(key: SettingKey): void {
    this.#changes++;
    this.#known.delete(key);
  }

  #view(key: SettingKey, value: unknown): SettingView {
    const shape: AnySetting = SETTINGS[key];
    return {
      key,
      value: shown(shape, value === undefined ? shape.default : value),
      isDefault: value === undefined,
      about: shape.about,
    };
  }

  #toStore(key: SettingKey, value: unknown): Prisma.InputJsonValue {
    const shape: AnySetting = SETTINGS[key];
    if (!shape.withoutSecrets) return (value ?? { none: true }) as Prisma.InputJsonValue;
    const sealed = this.secrets.seal(Buffer.from(JSON.stringify(value)), `setting/${key}`);
    return { sealed: Buffer.from(sealed).toString('base64') };
  }

  /** A value that an older version kept and this one does not know holds no more. */
  #parse(key: SettingKey, kept: unknown): unknown {
    const shape: AnySetting = SETTINGS[key];
    const parsed = shape.schema.safeParse(this.#unwrapped(key, kept));
    return parsed.success ? parsed.data : shape.default;
  }

  #unwrapped(key: SettingKey, kept: unknown): unknown {
    const { sealed, none } = (kept ?? {}) as { sealed?: unknown; none?: unknown };
    if (typeof sealed === 'string') {
      const plain = this.secrets.open(Buffer.from(sealed, 'base64'), `setting/${key}`);
      return JSON.parse(plain.toString('utf8')) as unknown;
    }
    return none === true ? null : kept;
  }
}

const shown = (shape: AnySetting, value: unknown): unknown =>
  shape.withoutSecrets ? shape.withoutSecrets(value as never) : value;

function requireKey(name: string): SettingKey {
  const key = SETTING_KEYS.find((known) => known === name);
  if (key) return key;
  throw new DrvsError('NotFound', `there is no setting ${name.slice(0, 100)}`, {
    hint: 'See `drvs setting list`.',
    field: 'key',
  });
}
