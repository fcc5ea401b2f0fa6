import { DrvsError, type TemplateView } from '@drvs/contracts';
import { Args, Float, ID, Int, Mutation, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import type { Actor } from '../auth/actor.js';
import { CandidateQuery, CandidatesService, HypotheticalDrvm } from '../drvms/candidates.service.js';
import { DrvmRulesChange } from '../drvms/drvm-rules.js';
import { DrvmRules } from '../drvms/drvm-rules.service.js';
import { QueueService } from '../drvms/queue.service.js';
import { LeaseExtension, LeaseTerms } from '../leases/lease-request.js';
import { LeasesService } from '../leases/leases.service.js';
import { Import, NewTemplate } from '../templates/template-request.js';
import { TemplatesService } from '../templates/templates.service.js';
import { TenantChange, TenantsService } from '../tenants/tenants.service.js';
import { newDrvm, requestParts } from './create-drvm.js';
import {
  AllocationInput,
  Candidates,
  DrvmRuleSet,
  DrvmRulesInput,
  Explanation,
  ImportRow,
  ImportRowInput,
  Lease,
  Template,
  WaitingRequest,
} from './inventory-types.js';
import { CreateDrvmInput, DeviceLimit, DeviceLimitInput, LeaseInput, Tenant } from './object-types.js';
import { withoutNulls } from './people.resolver.js';
import { Changer, Reader } from './session.js';

const generationArgument = {
  type: () => Int,
  nullable: true,
  description: 'That was read; refused when it is another',
};

/** Before a DRVM is made, in which order DRVMs are made, and for how long they are had. */
@Resolver(() => Tenant)
export class AllocationResolver {
  constructor(
    private readonly candidates: CandidatesService,
    private readonly queue: QueueService,
    private readonly leases: LeasesService,
    private readonly rules: DrvmRules,
    private readonly templates: TemplatesService,
    private readonly tenants: TenantsService,
  ) {}

  @ResolveField(() => [DeviceLimit], { name: 'devices', description: 'By type: held, and the limit' })
  devicesOf(
    @Parent() tenant: { devices: { quota: Record<string, number>; used: Record<string, number> } },
  ): DeviceLimit[] {
    const { quota, used } = tenant.devices;
    const types = [...new Set([...Object.keys(quota), ...Object.keys(used)])].sort();
    return types.map((type) => ({ type, used: used[type] ?? 0, quota: quota[type] ?? null }));
  }

  @Mutation(() => Tenant, { description: 'Weight, and limits of devices; a limit of null is taken away' })
  setTenant(
    @Changer() actor: Actor,
    @Args('tenant', { type: () => ID }) tenant: string,
    @Args('weight', { type: () => Float, nullable: true }) weight?: number,
    @Args('devices', { type: () => [DeviceLimitInput], nullable: true }) devices?: DeviceLimitInput[],
    @Args('generation', generationArgument) generation?: number | null,
  ): Promise<Tenant> {
    const limits = devices && Object.fromEntries(devices.map(({ type, quota }) => [type, quota ?? null]));
    const change = TenantChange.parse(withoutNulls({ weight, devices: limits }));
    return this.tenants.change(actor, tenant, change, generation ?? null);
  }

  @Mutation(() => Candidates, {
    description: 'They are kept for a quarter of an hour, and claimed by createDrvm',
  })
  allocationCandidates(@Changer() actor: Actor, @Args('input') input: AllocationInput): Promise<Candidates> {
    return this.candidates.list(actor, CandidateQuery.parse(requestParts(input)));
  }

  @Query(() => Explanation, {
    description: 'Whether a DRVM would fit: now, not now or never; why, and what would change it',
  })
  async explainAllocation(
    @Reader() actor: Actor,
    @Args('input') input: AllocationInput,
  ): Promise<Explanation> {
    const { seed: _, limit: __, ...request } = requestParts(input);
    const { best, ...view } = await this.candidates.explain(actor, HypotheticalDrvm.parse(request));
    return { ...view, best: best?.slices ?? [] };
  }

  @Query(() => [WaitingRequest], { name: 'queue', description: 'In the order in which they would be let in' })
  waiting(@Reader() actor: Actor): Promise<WaitingRequest[]> {
    return this.queue.list(actor);
  }

  @Mutation(() => WaitingRequest, {
    description: 'Puts it in the queue when it does not fit now, or begins later',
  })
  async queueDrvm(@Changer() actor: Actor, @Args('input') input: CreateDrvmInput): Promise<WaitingRequest> {
    const made = await this.queue.createOrWait(actor, newDrvm({ ...input, whenFull: 'wait' }));
    if ('waiting' in made) return made.waiting;
    const { drvm, operation } = made;
    const { id, createdAt, tenant, name } = drvm;
    const { requestedBy } = operation;
    const ended = {
      state: 'admitted',
      position: null,
      reason: 'there was room',
      attempts: 0,
      notBefore: null,
    };
    return {
      ...ended,
      id,
      tenant,
      name,
      nextLookAt: null,
      requestedBy,
      createdAt,
      endedAt: createdAt,
      drvm: name,
      operation: operation.id,
    };
  }

  @Mutation(() => WaitingRequest)
  cancelQueued(@Changer() actor: Actor, @Args('id', { type: () => ID }) id: string): Promise<WaitingRequest> {
    return this.queue.cancel(actor, id);
  }

  @Query(() => Lease, { nullable: true })
  async lease(@Reader() actor: Actor, @Args('drvm', { type: () => ID }) drvm: string): Promise<Lease | null> {
    try {
      return await this.leases.show(actor, drvm);
    } catch (error) {
      if (error instanceof DrvsError && error.code === 'NotFound') return null;
      throw error;
    }
  }

  @Query(() => DrvmRuleSet, {
    name: 'drvmRules',
    description: 'On which nodes it may be, and what it breaks',
  })
  rulesOf(@Reader() actor: Actor, @Args('drvm', { type: () => ID }) drvm: string): Promise<DrvmRuleSet> {
    return this.rules.show(actor, drvm);
  }

  @Mutation(() => DrvmRuleSet, { description: 'On which nodes it may be from now on; nothing moves for it' })
  setDrvmRules(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('rules') rules: DrvmRulesInput,
    @Args('generation', generationArgument) generation?: number | null,
  ): Promise<DrvmRuleSet> {
    return this.rules.change(actor, drvm, DrvmRulesChange.parse(withoutNulls(rules)), generation ?? null);
  }

  @Mutation(() => Lease)
  setLease(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('lease') lease: LeaseInput,
    @Args('generation', generationArgument) generation?: number | null,
  ): Promise<Lease> {
    return this.leases.set(actor, drvm, LeaseTerms.parse(withoutNulls(lease)), generation ?? null);
  }

  @Mutation(() => Lease)
  extendLease(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('bySeconds', { type: () => Int }) bySeconds: number,
    @Args('generation', generationArgument) generation?: number | null,
  ): Promise<Lease> {
    return this.leases.extend(actor, drvm, LeaseExtension.parse({ bySeconds }), generation ?? null);
  }

  @Mutation(() => Boolean, { description: 'It may then be had without end' })
  async removeLease(
    @Changer() actor: Actor,
    @Args('drvm', { type: () => ID }) drvm: string,
    @Args('generation', generationArgument) generation?: number | null,
  ): Promise<boolean> {
    await this.leases.remove(actor, drvm, generation ?? null);
    return true;
  }

  @Query(() => [Template], { name: 'templates' })
  async templateList(@Reader() actor: Actor): Promise<Template[]> {
    return (await this.templates.list(actor)).map(templateObject);
  }

  @Mutation(() => Template)
  async createTemplate(
    @Changer() actor: Actor,
    @Args('name') name: string,
    @Args('body', { description: 'JSON, as REST takes it' }) body: string,
    @Args('tenant', { type: () => ID, nullable: true }) tenant?: string,
    @Args('description', { type: () => String, nullable: true }) description?: string,
  ): Promise<Template> {
    const template = NewTemplate.parse(withoutNulls({ name, tenant, description, body: parsed(body) }));
    return templateObject(await this.templates.create(actor, template));
  }

  @Mutation(() => Boolean)
  async deleteTemplate(@Changer() actor: Actor, @Args('name') name: string): Promise<boolean> {
    await this.templates.remove(actor, name, null);
    return true;
  }

  @Mutation(() => [ImportRow], {
    description: 'A DRVM for each row; with dryRun each is only planned, on what the others leave',
  })
  async importDrvms(
    @Changer() actor: Actor,
    @Args('template') template: string,
    @Args('rows', { type: () => [ImportRowInput] }) rows: ImportRowInput[],
    @Args('dryRun', { type: () => Boolean, defaultValue: false }) dryRun: boolean,
  ): Promise<ImportRow[]> {
    const lines = Import.parse({ rows: rows.map(requestParts), dryRun });
    const made = await this.templates.import(actor, template, lines);
    return made.map(({ error, ...row }) => ({ ...row, error: error?.message ?? null }));
  }
}

function templateObject({ body, ...view }: TemplateView): Template {
  return { ...view, body: JSON.stringify(body) };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new DrvsError('InvalidInput', 'the body is not JSON', { field: 'body' });
  }
}
