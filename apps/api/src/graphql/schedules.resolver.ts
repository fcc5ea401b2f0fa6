import type { PlannerSettingsView, ScheduleView } from '@drvs/contracts';
import { Args, Field, Float, ID, InputType, Int, Mutation, Query, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { encodeCursor } from '../http/paging.js';
import { PlannerChange } from '../plans/planner-settings.js';
import { PlannerSettings as PlannerSettingsService } from '../plans/planner-settings.service.js';
import { NewSchedule, ScheduleChange, SchedulesService } from '../schedules/schedules.service.js';
import { type Connection, ConnectionArgs, connection, pageQuery, ScheduleConnection } from './connections.js';
import { PlannerSettings, Schedule } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

@InputType()
export class ScheduledPlanInput {
  @Field() kind!: string;
  @Field(() => String, { nullable: true }) node?: string;
  @Field(() => String, { nullable: true }) mode?: string;
  @Field(() => Boolean, { nullable: true }) remove?: boolean;
}

@InputType()
export class CreateScheduleInput {
  @Field() name!: string;
  @Field({ description: 'Minute, hour, day of the month, month, day of the week' }) cron!: string;
  @Field(() => String, { nullable: true }) timeZone?: string;
  @Field(() => ScheduledPlanInput) plan!: ScheduledPlanInput;
  @Field(() => String, { nullable: true, description: 'skip or run-once' }) missed?: string;
  @Field(() => Boolean, { nullable: true }) enabled?: boolean;
}

@InputType()
export class ChangeScheduleInput {
  @Field(() => String, { nullable: true }) cron?: string;
  @Field(() => String, { nullable: true }) timeZone?: string;
  @Field(() => ScheduledPlanInput, { nullable: true }) plan?: ScheduledPlanInput;
  @Field(() => String, { nullable: true }) missed?: string;
  @Field(() => Boolean, { nullable: true }) enabled?: boolean;
  @Field(() => Int, { nullable: true, description: 'The generation that was read' }) generation?: number;
}

@InputType()
export class PlannerModeInput {
  @Field() kind!: string;
  @Field({ description: 'off, manual or automatic' }) mode!: string;
}

@InputType()
export class PolicyValueInput {
  @Field({ description: 'For instance hotUtilisation, or power.nodesMin' }) name!: string;
  @Field(() => Float, { nullable: true, description: 'Null: the default' }) value?: number;
}

@InputType()
export class PlannerWindowInput {
  @Field(() => [String]) kinds!: string[];
  @Field() effect!: string;
  @Field(() => [String], { nullable: true }) days?: string[];
  @Field() from!: string;
  @Field() to!: string;
  @Field(() => String, { nullable: true }) timeZone?: string;
}

@InputType()
export class ChangePlannerInput {
  @Field(() => [PlannerModeInput], { nullable: true }) modes?: PlannerModeInput[];
  @Field(() => [PolicyValueInput], { nullable: true }) policy?: PolicyValueInput[];
  @Field(() => [PlannerWindowInput], { nullable: true }) windows?: PlannerWindowInput[];
  @Field(() => Int, { nullable: true, description: 'The generation that was read' }) generation?: number;
}

/** What the planners go by, and when they act by themselves. */
@Resolver(() => Schedule)
export class SchedulesResolver {
  constructor(
    private readonly schedules: SchedulesService,
    private readonly settings: PlannerSettingsService,
  ) {}

  @Query(() => ScheduleConnection, { name: 'schedules' })
  async scheduleList(@Reader() actor: Actor, @Args() args: ConnectionArgs): Promise<Connection<Schedule>> {
    return connection(
      await this.schedules.list(actor, pageQuery(args)),
      ({ name }) => encodeCursor(name),
      scheduleObject,
    );
  }

  @Query(() => PlannerSettings)
  async plannerSettings(@Reader() actor: Actor): Promise<PlannerSettings> {
    return settingsObject(await this.settings.show(actor));
  }

  @Mutation(() => Schedule)
  async createSchedule(
    @Changer() actor: Actor,
    @Args('input') input: CreateScheduleInput,
  ): Promise<Schedule> {
    const request = NewSchedule.parse(withoutNulls({ ...input, plan: withoutNulls(input.plan) }));
    return scheduleObject(await this.schedules.create(actor, request));
  }

  @Mutation(() => Schedule)
  async changeSchedule(
    @Changer() actor: Actor,
    @Args('name') name: string,
    @Args('input') { generation, plan, ...input }: ChangeScheduleInput,
  ): Promise<Schedule> {
    const change = ScheduleChange.parse(withoutNulls({ ...input, plan: plan && withoutNulls(plan) }));
    return scheduleObject(await this.schedules.change(actor, name, change, generation ?? null));
  }

  @Mutation(() => ID, { description: 'The name of what is deleted' })
  async deleteSchedule(@Changer() actor: Actor, @Args('name') name: string): Promise<string> {
    await this.schedules.remove(actor, name, null);
    return name;
  }

  @Mutation(() => Schedule, { description: 'Runs it now, besides its times' })
  async runSchedule(@Changer() actor: Actor, @Args('name') name: string): Promise<Schedule> {
    return scheduleObject(await this.schedules.run(actor, name));
  }

  @Mutation(() => PlannerSettings, { description: 'What contradicts itself is refused' })
  async changePlanner(
    @Changer() actor: Actor,
    @Args('input') { modes, policy, windows, generation }: ChangePlannerInput,
  ): Promise<PlannerSettings> {
    const change = PlannerChange.parse(
      withoutNulls({
        modes: modes && Object.fromEntries(modes.map(({ kind, mode }) => [kind, mode])),
        policy: policy && nested(policy),
        windows: windows?.map(withoutNulls),
      }),
    );
    return settingsObject(await this.settings.change(actor, change, generation ?? null));
  }
}

/** `power.nodesMin` as {power: {nodesMin}}. */
function nested(values: readonly PolicyValueInput[]): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const { name, value } of values) {
    const [group, inner] = name.split('.', 2) as [string, string | undefined];
    if (inner === undefined) tree[group] = value ?? null;
    else tree[group] = { ...(tree[group] as object | undefined), [inner]: value ?? null };
  }
  return tree;
}

const scheduleObject = ({ plan, ...view }: ScheduleView): Schedule => ({
  ...view,
  kind: plan.kind,
  node: plan.node ?? null,
  mode: plan.mode ?? null,
});

function settingsObject({ modes, policy, changed, ...view }: PlannerSettingsView): PlannerSettings {
  const values = Object.entries(policy).flatMap(([name, value]) =>
    typeof value === 'number'
      ? [{ name, value }]
      : Object.entries(value).map(([inner, number]) => ({ name: `${name}.${inner}`, value: number })),
  );
  return {
    ...view,
    modes: Object.entries(modes).map(([kind, mode]) => ({ kind, mode })),
    policy: values.map(({ name, value }) => ({ name, value, isDefault: !changed.includes(name) })),
  };
}
