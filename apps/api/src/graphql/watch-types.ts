import { ArgsType, Field, Float, ID, InputType, Int, ObjectType } from '@nestjs/graphql';
import { ConnectionArgs } from './connections.js';

/** What watches over the cluster, as GraphQL shows it: the views of REST by the same names. Times are ISO 8601 in UTC. */

@ObjectType()
export class OperationLogLine {
  @Field(() => ID) id!: string;
  @Field() at!: string;
  @Field(() => String, { nullable: true, description: 'Null: about the operation as a whole' })
  step!: string | null;
  @Field() level!: string;
  @Field() text!: string;
}

@ObjectType()
export class OperationLog {
  @Field(() => [OperationLogLine]) lines!: OperationLogLine[];
  @Field() nextCursor!: string;
  @Field({ description: 'Nothing comes after this' }) ended!: boolean;
}

@ObjectType({ description: 'Where events are sent to' })
export class Webhook {
  @Field(() => ID) id!: string;
  @Field(() => String, { nullable: true, description: 'Null: the events of the whole cluster' })
  tenant!: string | null;
  @Field() url!: string;
  @Field(() => [String]) events!: string[];
  @Field() description!: string;
  @Field() enabled!: boolean;
  @Field() state!: string;
  @Field(() => Int) pending!: number;
  @Field(() => Int, { description: 'Given up and not delivered' }) dead!: number;
  @Field(() => Int) failures!: number;
  @Field(() => String, { nullable: true }) lastSuccessAt!: string | null;
  @Field(() => String, { nullable: true }) lastError!: string | null;
  @Field() createdBy!: string;
  @Field() createdAt!: string;
}

@ObjectType({ description: 'The secret is shown this once' })
export class NewWebhookObject extends Webhook {
  @Field() secret!: string;
}

@ObjectType()
export class WebhookDelivery {
  @Field(() => ID) id!: string;
  @Field(() => ID) webhook!: string;
  @Field(() => ID) event!: string;
  @Field() kind!: string;
  @Field() state!: string;
  @Field(() => Int) attempts!: number;
  @Field(() => Int, { nullable: true }) status!: number | null;
  @Field(() => String, { nullable: true }) error!: string | null;
  @Field() createdAt!: string;
  @Field(() => String, { nullable: true }) endedAt!: string | null;
}

@ObjectType()
export class WebhookTest {
  @Field() delivered!: boolean;
  @Field(() => Int, { nullable: true }) status!: number | null;
  @Field(() => String, { nullable: true }) error!: string | null;
  @Field(() => Float) milliseconds!: number;
}

@InputType()
export class NewWebhookInput {
  @Field() url!: string;
  @Field(() => [String], { nullable: true }) events?: string[];
  @Field(() => String, { nullable: true }) description?: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => String, { nullable: true }) secret?: string;
}

@InputType()
export class WebhookChangeInput {
  @Field(() => String, { nullable: true }) url?: string;
  @Field(() => [String], { nullable: true }) events?: string[];
  @Field(() => String, { nullable: true }) description?: string;
  @Field(() => Boolean, { nullable: true }) enabled?: boolean;
}

@ObjectType()
export class AlertRule {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field() metric!: string;
  @Field() comparison!: string;
  @Field(() => Float) threshold!: number;
  @Field(() => Float, { description: 'It ends past this' }) clearThreshold!: number;
  @Field(() => Int) forSeconds!: number;
  @Field() severity!: string;
  @Field(() => String, { nullable: true }) subject!: string | null;
  @Field(() => [String]) mailTo!: string[];
  @Field(() => [ID]) webhooks!: string[];
  @Field() enabled!: boolean;
  @Field() isDefault!: boolean;
  @Field() createdBy!: string;
  @Field() createdAt!: string;
}

@ObjectType()
export class Alert {
  @Field(() => ID) id!: string;
  @Field() rule!: string;
  @Field() metric!: string;
  @Field() severity!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field() subject!: string;
  @Field() state!: string;
  @Field(() => Float, { nullable: true }) value!: number | null;
  @Field(() => Float) threshold!: number;
  @Field() since!: string;
  @Field(() => String, { nullable: true }) firedAt!: string | null;
  @Field(() => String, { nullable: true }) resolvedAt!: string | null;
  @Field(() => String, { nullable: true }) silencedUntil!: string | null;
}

@InputType()
export class NewAlertRuleInput {
  @Field() name!: string;
  @Field() metric!: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => String, { nullable: true }) comparison?: string;
  @Field(() => Float) threshold!: number;
  @Field(() => Float, { nullable: true }) clearThreshold?: number;
  @Field(() => Int, { nullable: true }) forSeconds?: number;
  @Field(() => String, { nullable: true }) severity?: string;
  @Field(() => String, { nullable: true }) subject?: string;
  @Field(() => [String], { nullable: true }) mailTo?: string[];
  @Field(() => [ID], { nullable: true }) webhooks?: string[];
}

@InputType()
export class AlertRuleChangeInput {
  @Field(() => Float, { nullable: true }) threshold?: number;
  @Field(() => Float, { nullable: true }) clearThreshold?: number;
  @Field(() => Int, { nullable: true }) forSeconds?: number;
  @Field(() => String, { nullable: true }) severity?: string;
  @Field(() => [String], { nullable: true }) mailTo?: string[];
  @Field(() => [ID], { nullable: true }) webhooks?: string[];
  @Field(() => Boolean, { nullable: true }) enabled?: boolean;
}

@ObjectType()
export class TelemetryPoint {
  @Field() at!: string;
  @Field(() => Float) mean!: number;
  @Field(() => Float) max!: number;
}

@ObjectType()
export class TelemetrySeries {
  @Field() node!: string;
  @Field(() => String, { nullable: true }) drvm!: string | null;
  @Field() metric!: string;
  @Field(() => [TelemetryPoint]) points!: TelemetryPoint[];
}

@ObjectType()
export class TelemetryHistory {
  @Field() from!: string;
  @Field() to!: string;
  @Field(() => Float) stepSeconds!: number;
  @Field(() => Float) resolutionSeconds!: number;
  @Field(() => [TelemetrySeries]) series!: TelemetrySeries[];
}

@ArgsType()
export class TelemetryArgs {
  @Field(() => String, { nullable: true }) node?: string;
  @Field(() => String, { nullable: true }) drvm?: string;
  @Field(() => String, { nullable: true, description: 'One, or several with commas between them' })
  metric?: string;
  @Field(() => String, { nullable: true }) from?: string;
  @Field(() => String, { nullable: true }) to?: string;
  @Field(() => Int, { nullable: true, description: 'Seconds' }) step?: number;
}

@ObjectType()
class UsageSums {
  @Field(() => Float) coreHours!: number;
  @Field(() => Float) memoryGiBHours!: number;
  @Field(() => Float) diskGiBHours!: number;
  @Field(() => Float) networkMbpsHours!: number;
  @Field(() => Float) usedCoreHours!: number;
  @Field(() => Float) usedMemoryGiBHours!: number;
  @Field(() => Float) readBytes!: number;
  @Field(() => Float) writtenBytes!: number;
  @Field(() => Float) ioOperations!: number;
  @Field(() => Float) receivedBytes!: number;
  @Field(() => Float) sentBytes!: number;
  @Field(() => Float, { nullable: true }) energyKWh!: number | null;
}

@ObjectType()
export class UsageItem extends UsageSums {
  @Field() tenant!: string;
  @Field(() => String, { nullable: true }) drvm!: string | null;
  @Field(() => String, { nullable: true }) day!: string | null;
}

@ObjectType({ description: 'What was held and what was used of it' })
export class Usage {
  @Field() from!: string;
  @Field() to!: string;
  @Field() by!: string;
  @Field(() => [UsageItem]) items!: UsageItem[];
  @Field(() => UsageSums) total!: UsageSums;
}

@ArgsType()
export class UsageArgs {
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => String, { nullable: true }) from?: string;
  @Field(() => String, { nullable: true }) to?: string;
  @Field(() => String, { nullable: true, description: 'tenant, drvm or day' }) by?: string;
}

@ObjectType()
export class Setting {
  @Field() key!: string;
  @Field({ description: 'JSON, as REST answers it; secrets are not shown' }) value!: string;
  @Field() isDefault!: boolean;
  @Field() about!: string;
}

@ArgsType()
export class StateArgs extends ConnectionArgs {
  @Field(() => String, { nullable: true }) state?: string;
}
