import { DrvsError, type SettingView } from '@drvs/contracts';
import { Args, ID, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import { z } from 'zod';
import {
  ALERT_STATES,
  AlertRuleChange as AlertRuleChangeSchema,
  AlertsService,
  NewAlertRule,
  Silence,
} from '../alerts/alerts.service.js';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { OperationLogs } from '../operations/operation-logs.js';
import { SettingsService } from '../settings/settings.service.js';
import { TelemetryQuery, TelemetryService } from '../telemetry/telemetry.service.js';
import { UsageQuery, UsageService } from '../usage/usage.service.js';
import { DELIVERY_STATES, NewWebhook, WebhookChange, WebhooksService } from '../webhooks/webhooks.service.js';
import { type Connection, ConnectionArgs, connection, connectionOf, pageQuery } from './connections.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';
import {
  Alert,
  AlertRule,
  AlertRuleChangeInput,
  NewAlertRuleInput,
  NewWebhookInput,
  NewWebhookObject,
  OperationLog,
  Setting,
  StateArgs,
  TelemetryArgs,
  TelemetryHistory,
  Usage,
  UsageArgs,
  Webhook,
  WebhookChangeInput,
  WebhookDelivery,
  WebhookTest,
} from './watch-types.js';

const WebhookConnection = connectionOf(Webhook);
const WebhookDeliveryConnection = connectionOf(WebhookDelivery);
const AlertConnection = connectionOf(Alert);
const AlertRuleConnection = connectionOf(AlertRule);

const itself = <T>(view: T): T => view;
const byId = ({ id }: { id: string }) => encodeCursor(id);
const stateOf = <S extends string>(states: readonly [S, ...S[]], state: string | undefined): S | undefined =>
  z.enum(states).optional().parse(state) as S | undefined;

/** What watches over the cluster: logs, webhooks, alerts, telemetry, usage and settings. */
@Resolver()
export class WatchResolver {
  constructor(
    private readonly logs: OperationLogs,
    private readonly webhooks: WebhooksService,
    private readonly alerts: AlertsService,
    private readonly telemetry: TelemetryService,
    private readonly accounting: UsageService,
    private readonly settings: SettingsService,
  ) {}

  @Query(() => OperationLog, { description: 'What an operation did, line by line, the oldest first' })
  async operationLog(
    @Reader() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args() args: ConnectionArgs,
  ): Promise<OperationLog> {
    const page = { ...pageQuery(args), waitMs: 0 };
    const { items, nextCursor, ended } = await this.logs.read(actor, id, page, new AbortController().signal);
    return { lines: items, nextCursor, ended };
  }

  @Query(() => WebhookConnection, { name: 'webhooks' })
  async webhookList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Webhook>> {
    return connection(await this.webhooks.list(actor, pageQuery(args)), byId, itself);
  }

  @Query(() => Webhook)
  webhook(@Reader() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<Webhook> {
    return this.webhooks.show(actor, id);
  }

  @Query(() => WebhookDeliveryConnection, { description: 'What was sent and what waits, the newest first' })
  async webhookDeliveries(
    @Reader() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args() { state, ...args }: StateArgs,
  ): Promise<Connection<WebhookDelivery>> {
    const filter = { ...pageQuery(args), state: stateOf(DELIVERY_STATES, state ?? undefined) };
    return connection(await this.webhooks.deliveries(actor, id, filter), byId, itself);
  }

  @Mutation(() => NewWebhookObject)
  createWebhook(@Changer() actor: Actor, @Args('input') input: NewWebhookInput): Promise<NewWebhookObject> {
    return this.webhooks.create(actor, NewWebhook.parse(withoutNulls(input)));
  }

  @Mutation(() => Webhook)
  changeWebhook(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('input') input: WebhookChangeInput,
  ): Promise<Webhook> {
    return this.webhooks.change(actor, id, WebhookChange.parse(withoutNulls(input)));
  }

  @Mutation(() => ID, { description: 'Answers the id of what is gone' })
  async deleteWebhook(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<string> {
    await this.webhooks.remove(actor, id);
    return id;
  }

  @Mutation(() => WebhookTest, { description: 'Sends a test event at once' })
  testWebhook(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<WebhookTest> {
    return this.webhooks.test(actor, id);
  }

  @Mutation(() => Int, { description: 'Puts a delivery back in the line, or all-dead; answers how many' })
  async redeliverWebhook(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('delivery') delivery: string,
  ): Promise<number> {
    return (await this.webhooks.redeliver(actor, id, delivery)).queued;
  }

  @Query(() => AlertConnection, {
    name: 'alerts',
    description: 'The newest first; without a state those not resolved',
  })
  async alertList(@Reader() actor: Actor, @Args() { state, ...args }: StateArgs): Promise<Connection<Alert>> {
    const filter = { ...pageQuery(args), state: stateOf(ALERT_STATES, state ?? undefined) };
    return connection(await this.alerts.list(actor, filter), byId, itself);
  }

  @Query(() => AlertRuleConnection)
  async alertRules(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<AlertRule>> {
    return connection(await this.alerts.rules(actor, pageQuery(args)), byId, itself);
  }

  @Mutation(() => AlertRule)
  createAlertRule(@Changer() actor: Actor, @Args('input') input: NewAlertRuleInput): Promise<AlertRule> {
    return this.alerts.create(actor, NewAlertRule.parse(withoutNulls(input)));
  }

  @Mutation(() => AlertRule)
  changeAlertRule(
    @Changer() actor: Actor,
    @Args('rule') rule: string,
    @Args('input') input: AlertRuleChangeInput,
  ): Promise<AlertRule> {
    return this.alerts.change(actor, rule, AlertRuleChangeSchema.parse(withoutNulls(input)));
  }

  @Mutation(() => String, { description: 'Answers the name of what is gone' })
  async deleteAlertRule(@Changer() actor: Actor, @Args('rule') rule: string): Promise<string> {
    await this.alerts.remove(actor, rule);
    return rule;
  }

  @Mutation(() => Alert, { description: 'Nobody is told of it for so many seconds; 0: told again' })
  silenceAlert(
    @Changer() actor: Actor,
    @Args('id', { type: () => ID }) id: string,
    @Args('seconds', { type: () => Int }) seconds: number,
  ): Promise<Alert> {
    return this.alerts.silence(actor, id, Silence.parse({ seconds }).seconds);
  }

  @Query(() => TelemetryHistory, { description: 'What was measured, of nodes or of a DRVM on its nodes' })
  telemetryHistory(@Reader() actor: Actor, @Args() args: TelemetryArgs): Promise<TelemetryHistory> {
    return this.telemetry.history(actor, TelemetryQuery.parse(withoutNulls(args)));
  }

  @Query(() => Usage, { description: 'Without from since the first of this month' })
  usage(@Reader() actor: Actor, @Args() args: UsageArgs): Promise<Usage> {
    return this.accounting.usage(actor, UsageQuery.parse(withoutNulls(args)));
  }

  @Query(() => [Setting], { name: 'settings' })
  async settingList(@Reader() actor: Actor): Promise<Setting[]> {
    return (await this.settings.list(actor)).map(settingObject);
  }

  @Mutation(() => Setting, { description: 'The value in JSON' })
  async setSetting(
    @Changer() actor: Actor,
    @Args('key') key: string,
    @Args('value') value: string,
  ): Promise<Setting> {
    return settingObject(await this.settings.set(actor, key, fromJson(value)));
  }

  @Mutation(() => Setting, { description: 'Back to what holds without it' })
  async unsetSetting(@Changer() actor: Actor, @Args('key') key: string): Promise<Setting> {
    return settingObject(await this.settings.unset(actor, key));
  }
}

const settingObject = ({ value, ...view }: SettingView): Setting => ({
  ...view,
  value: JSON.stringify(value),
});

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DrvsError('InvalidInput', 'the value is not JSON', { field: 'value', cause });
  }
}
