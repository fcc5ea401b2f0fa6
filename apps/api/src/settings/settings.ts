import { z } from 'zod';

/** A token bucket: so many requests a second on average, so many at once. */
const Rate = z.strictObject({
  perSecond: z.number().positive().max(1_000_000),
  burst: z.int().min(1).max(10_000_000),
});
export type Rate = z.infer<typeof Rate>;

const Smtp = z.strictObject({
  host: z.string().min(1).max(255),
  port: z.int().min(1).max(65_535).default(587),
  /** TLS from the first byte (port 465); without it STARTTLS is used where the server offers it. */
  secure: z.boolean().default(false),
  /** Refuse to send over a connection that STARTTLS does not protect. */
  requireTls: z.boolean().default(false),
  user: z.string().max(255).optional(),
  password: z.string().max(1000).optional(),
  from: z.string().min(3).max(320),
});
export type Smtp = z.infer<typeof Smtp>;

const days = (most: number) => z.int().min(1).max(most);
const places = z.int().min(1).max(10_000);

interface SettingShape<S extends z.ZodType> {
  schema: S;
  default: z.output<S>;
  about: string;
  /** Kept sealed, and shown without what `withoutSecrets` takes out. */
  withoutSecrets?: (value: z.output<S>) => unknown;
}
const setting = <S extends z.ZodType>(shape: SettingShape<S>): SettingShape<S> => shape;

/** What a supra-administrator may set, with what holds until then. */
export const SETTINGS = {
  'operations.atOnce': setting({
    schema: places,
    default: 128,
    about: 'operations under way at once in the whole cluster; the others wait',
  }),
  'operations.atOncePerTenant': setting({
    schema: places,
    default: 64,
    about: 'operations of one department under way at once; the others wait',
  }),
  'operations.atOncePerNode': setting({
    schema: places,
    default: 32,
    about: 'operations that work on one node at once; the others wait',
  }),
  'operations.keptDays': setting({
    schema: days(3650),
    default: 90,
    about: 'days that ended operations are kept',
  }),
  'webhooks.allowPrivateAddresses': setting({
    schema: z.boolean(),
    default: false,
    about: 'whether webhooks may go to loopback, link-local and private addresses',
  }),
  'webhooks.keptDays': setting({
    schema: days(365),
    default: 14,
    about: 'days that deliveries are kept once they ended',
  }),
  'rateLimits.token': setting({
    schema: Rate.nullable(),
    default: { perSecond: 500, burst: 5_000 },
    about: 'requests of one token or user of a department; null: no limit',
  }),
  'rateLimits.tenant': setting({
    schema: Rate.nullable(),
    default: { perSecond: 2_000, burst: 20_000 },
    about: 'requests of one department together; null: no limit',
  }),
  'rateLimits.cluster': setting({
    schema: Rate.nullable(),
    default: { perSecond: 50_000, burst: 200_000 },
    about: 'requests of one token or user of the whole cluster; null: no limit',
  }),
  'mail.smtp': setting({
    schema: Smtp.nullable(),
    default: null,
    about: 'the server that mail goes out by; null: no mail',
    withoutSecrets: (smtp) =>
      smtp && { ...smtp, ...(smtp.password === undefined ? {} : { password: '(set)' }) },
  }),
  'usage.keptDays': setting({
    schema: days(3650),
    default: 800,
    about: 'days that what was held and used is kept',
  }),
  'lending.enabled': setting({
    schema: z.boolean(),
    default: true,
    about: 'whether CPU that idle DRVMs are guaranteed is lent to those that want more',
  }),
} as const;

export type SettingKey = keyof typeof SETTINGS;
export type SettingValue<K extends SettingKey> = z.output<(typeof SETTINGS)[K]['schema']>;
export const SETTING_KEYS = Object.keys(SETTINGS) as SettingKey[];
