import { Field, Float, ID, InputType, Int, ObjectType } from '@nestjs/graphql';

/**
 * The objects of GraphQL: the views of REST by the same names, with their relations as fields. Times are ISO 8601 in
 * UTC, `cpu` is in vCPUs.
 */

@ObjectType()
export class Amounts {
  @Field(() => Float) cpu!: number;
  @Field(() => Int) memoryMiB!: number;
  @Field(() => Int) diskGiB!: number;
  @Field(() => Int) networkMbps!: number;
}

@ObjectType()
export class Label {
  @Field() key!: string;
  @Field() value!: string;
}

@ObjectType()
export class NetworkInterface {
  @Field() name!: string;
  @Field(() => String, { nullable: true }) mac!: string | null;
  @Field(() => [String]) addresses!: string[];
  @Field(() => Float, { nullable: true }) speedMbps!: number | null;
  @Field() state!: string;
}

@ObjectType()
export class Device {
  @Field(() => ID) id!: string;
  @Field() kind!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true }) path!: string | null;
  @Field(() => Float, { nullable: true }) sizeBytes!: number | null;
  @Field(() => [String]) traits!: string[];
}

@ObjectType({ description: 'What a DRVM holds on one node, and its container there' })
export class Slice {
  @Field(() => ID) id!: string;
  @Field() node!: string;
  @Field(() => ID) nodeId!: string;
  @Field() drvm!: string;
  @Field(() => ID) drvmId!: string;
  @Field() tenant!: string;
  @Field(() => Int) index!: number;
  @Field(() => Float) cpu!: number;
  @Field(() => Int) memoryMiB!: number;
  @Field(() => Int) diskGiB!: number;
  @Field() exclusive!: boolean;
  @Field() state!: string;
  @Field() isolation!: string;
  @Field({ description: 'It runs the servers of the DRVM' }) isHome!: boolean;
  @Field(() => Float, { description: 'Up to which it may borrow' }) ceilingCpu!: number;
  @Field(() => Float, { description: 'In force now' }) heldCpu!: number;
  @Field(() => Float) usedCpu!: number;
  @Field(() => Int) usedMemoryMiB!: number;
  @Field(() => Int) processes!: number;
}

@ObjectType({ description: 'A node; a tenant sees its own share of it as if that were all' })
export class Node {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field() state!: string;
  @Field(() => Amounts, { description: 'Offered' }) capacity!: Amounts;
  @Field(() => Amounts) reserved!: Amounts;
  @Field(() => Amounts, { description: 'Measured' }) used!: Amounts;
  @Field(() => Amounts, { description: 'Given to DRVMs' }) allocated!: Amounts;
  @Field(() => String, { nullable: true }) exclusiveTo!: string | null;
  @Field(() => [Label]) labels!: Label[];
  @Field(() => String, { nullable: true }) lastSeenAt!: string | null;
  @Field() agentVersion!: string;
  @Field(() => Int) generation!: number;
  @Field({ description: 'How strongly the node keeps containers to their limits' }) isolation!: string;
  @Field(() => [Slice]) slices!: Slice[];
  @Field(() => [NetworkInterface]) interfaces!: NetworkInterface[];
  @Field(() => [Device]) devices!: Device[];
}

@ObjectType()
export class Process {
  @Field(() => Int) pid!: number;
  @Field(() => Int) ppid!: number;
  @Field() node!: string;
  @Field() state!: string;
  @Field(() => Float) cpuMs!: number;
  @Field(() => Float) memoryBytes!: number;
  @Field() command!: string;
  @Field() startedAt!: string;
  @Field(() => Int, { nullable: true }) exitCode!: number | null;
  @Field(() => String, { nullable: true }) signal!: string | null;
}

@ObjectType()
export class OperationStep {
  @Field() name!: string;
  @Field() state!: string;
  @Field(() => String, { nullable: true }) startedAt!: string | null;
  @Field(() => String, { nullable: true }) endedAt!: string | null;
  @Field(() => String, { nullable: true }) error!: string | null;
}

@ObjectType()
export class OperationError {
  @Field() code!: string;
  @Field() message!: string;
  @Field(() => String, { nullable: true }) hint?: string;
}

@ObjectType()
export class Operation {
  @Field(() => ID) id!: string;
  @Field() kind!: string;
  @Field() state!: string;
  @Field(() => Float) progress!: number;
  @Field() subject!: string;
  @Field(() => [OperationStep]) steps!: OperationStep[];
  @Field(() => String, { nullable: true, description: 'JSON, as REST answers it' }) result!: string | null;
  @Field(() => OperationError, { nullable: true }) error!: OperationError | null;
  @Field() requestedBy!: string;
  @Field(() => String, { nullable: true, description: 'What has not ended by then is ended and undone' })
  deadlineAt?: string | null;
  @Field(() => [String], {
    nullable: true,
    description: 'Nodes on which somebody works: it waits for continueOperation',
  })
  awaits?: string[];
  @Field() createdAt!: string;
  @Field(() => String, { nullable: true }) endedAt!: string | null;
}

@ObjectType()
export class Drvm {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field() tenant!: string;
  @Field(() => ID) tenantId!: string;
  @Field() dvos!: string;
  @Field() state!: string;
  @Field({ description: 'Why it is not as wanted' }) detail!: string;
  @Field() createdAt!: string;
  @Field(() => Int) generation!: number;
  @Field(() => [Slice]) slices!: Slice[];
}

@ObjectType()
export class DrvmOperation {
  @Field(() => Drvm) drvm!: Drvm;
  @Field(() => Operation) operation!: Operation;
}

@ObjectType()
export class PlanStep {
  @Field() action!: string;
  @Field() node!: string;
  @Field(() => Float) cpu!: number;
  @Field(() => Int) memoryMiB!: number;
  @Field(() => Int) diskGiB!: number;
  @Field() reason!: string;
}

@ObjectType()
export class PlanRejection {
  @Field() what!: string;
  @Field() reason!: string;
  @Field(() => String, { nullable: true }) rule?: string;
  @Field(() => String, { nullable: true, description: 'not-now or never' }) when?: string;
  @Field(() => String, { nullable: true, description: 'What somebody could change' }) advice?: string;
}

@ObjectType()
export class Plan {
  @Field(() => ID) id!: string;
  @Field() kind!: string;
  @Field(() => [PlanStep]) steps!: PlanStep[];
  @Field(() => [PlanRejection]) rejected!: PlanRejection[];
}

@ObjectType({ description: 'What is changed, and why; fields that a step of its action has' })
export class ClusterPlanStep {
  @Field() action!: string;
  @Field(() => Int, { nullable: true, description: 'Steps of one phase run beside each other' })
  phase?: number;
  @Field(() => String, { nullable: true, description: 'That is closed, opened, switched, or removed' })
  node?: string;
  @Field(() => String, { nullable: true }) drvm?: string;
  @Field(() => ID, { nullable: true }) drvmId?: string;
  @Field(() => Int, { nullable: true }) pid?: number;
  @Field(() => String, { nullable: true }) command?: string;
  @Field(() => String, { nullable: true }) from?: string;
  @Field(() => String, { nullable: true }) to?: string;
  @Field(() => Float, { nullable: true, description: 'vCPUs that it uses or waits for' }) cpu?: number;
  @Field(() => Amounts, { nullable: true, description: 'Of a slice that moves' }) guaranteed?: Amounts;
  @Field(() => Amounts, { nullable: true, description: 'Limits in force before' }) before?: Amounts;
  @Field(() => Amounts, { nullable: true, description: 'Limits in force after' }) after?: Amounts;
  @Field(() => [Int], { nullable: true, description: 'Processes that move with a slice' }) pids?: number[];
  @Field(() => Boolean, { nullable: true }) merges?: boolean;
  @Field(() => Boolean, { nullable: true }) isPart?: boolean;
  @Field(() => Boolean, { nullable: true }) isHome?: boolean;
  @Field(() => Float, { nullable: true }) watts?: number;
  @Field(() => Float, { nullable: true }) seconds?: number;
  @Field(() => Float, { nullable: true }) bytes?: number;
  @Field(() => Float, { nullable: true }) pauseMs?: number;
  @Field() reason!: string;
}

@ObjectType()
export class PlanGain {
  @Field(() => Float, { description: 'Processes waiting for a CPU' }) strainBefore!: number;
  @Field(() => Float) strainAfter!: number;
  @Field(() => Float) wattsBefore!: number;
  @Field(() => Float) wattsAfter!: number;
  @Field(() => Int) nodesOnBefore!: number;
  @Field(() => Int) nodesOnAfter!: number;
  @Field(() => Float, { description: 'vCPUs wanted and not held' }) unmetCpuBefore!: number;
  @Field(() => Float) unmetCpuAfter!: number;
  @Field() summary!: string;
}

@ObjectType()
export class PlanCost {
  @Field(() => Int) moves!: number;
  @Field(() => Float) bytes!: number;
  @Field(() => Float) pauseMs!: number;
  @Field(() => Float) seconds!: number;
  @Field() summary!: string;
}

@ObjectType()
export class ClusterPlan {
  @Field(() => ID) id!: string;
  @Field() kind!: string;
  @Field(() => String, { nullable: true }) node!: string | null;
  @Field() snapshot!: string;
  @Field(() => [ClusterPlanStep]) steps!: ClusterPlanStep[];
  @Field(() => PlanGain) gain!: PlanGain;
  @Field(() => PlanCost) cost!: PlanCost;
  @Field(() => [PlanRejection]) rejected!: PlanRejection[];
  @Field({ description: 'request, automatic or schedule' }) origin!: string;
  @Field() requestedBy!: string;
  @Field() createdAt!: string;
  @Field() expiresAt!: string;
  @Field(() => ID, { nullable: true, description: 'The operation that carries it out' })
  operation!: string | null;
}

@ObjectType()
export class PlannerMode {
  @Field() kind!: string;
  @Field({ description: 'off, manual or automatic' }) mode!: string;
}

@ObjectType()
export class PolicyValue {
  @Field() name!: string;
  @Field(() => Float) value!: number;
  @Field() isDefault!: boolean;
}

@ObjectType({ description: 'When plans that nobody asked for may be carried out' })
export class PlannerWindow {
  @Field(() => [String]) kinds!: string[];
  @Field({ description: 'only, or quiet' }) effect!: string;
  @Field(() => [String]) days!: string[];
  @Field() from!: string;
  @Field() to!: string;
  @Field() timeZone!: string;
}

@ObjectType({ description: 'What the planners go by' })
export class PlannerSettings {
  @Field(() => [PlannerMode]) modes!: PlannerMode[];
  @Field(() => [PolicyValue]) policy!: PolicyValue[];
  @Field(() => [PlannerWindow]) windows!: PlannerWindow[];
  @Field(() => Int) generation!: number;
  @Field(() => String, { nullable: true }) updatedBy!: string | null;
  @Field(() => String, { nullable: true }) updatedAt!: string | null;
}

@ObjectType({ description: 'When a plan is made and carried out by itself' })
export class Schedule {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field() cron!: string;
  @Field() timeZone!: string;
  @Field({ description: 'The kind of plan' }) kind!: string;
  @Field(() => String, { nullable: true }) node!: string | null;
  @Field(() => String, { nullable: true, description: 'Of a restore' }) mode!: string | null;
  @Field() enabled!: boolean;
  @Field({ description: 'skip or run-once' }) missed!: string;
  @Field(() => [String]) nextRuns!: string[];
  @Field(() => String, { nullable: true }) lastRunAt!: string | null;
  @Field(() => String, { nullable: true }) lastOutcome!: string | null;
  @Field() lastDetail!: string;
  @Field(() => ID, { nullable: true }) lastOperation!: string | null;
  @Field() createdBy!: string;
  @Field() createdAt!: string;
  @Field(() => Int) generation!: number;
}

@ObjectType()
export class Quota {
  @Field(() => Float, { nullable: true }) cpu?: number;
  @Field(() => Int, { nullable: true }) memoryMiB?: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
}

@ObjectType({ description: "A tenant's largest part of any one class of what the cluster has" })
export class DominantShare {
  @Field(() => Float) share!: number;
  @Field(() => String, { nullable: true }) class!: string | null;
}

@ObjectType()
export class DeviceLimit {
  @Field() type!: string;
  @Field(() => Int) used!: number;
  @Field(() => Int, { nullable: true, description: 'Null: no limit' }) quota!: number | null;
}

@ObjectType()
export class Tenant {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field(() => Quota) quota!: Quota;
  @Field(() => Amounts) used!: Amounts;
  @Field(() => Float, { description: 'Of what all want, weight 2 is due twice what weight 1 is' })
  weight!: number;
  @Field(() => DominantShare) dominantShare!: DominantShare;
}

@ObjectType()
export class User {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field() role!: string;
  @Field() createdAt!: string;
  @Field(() => String, {
    nullable: true,
    description: 'Only in the answer to its creation, when it was made by the system',
  })
  password?: string;
}

@ObjectType()
export class Viewer {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field() role!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field(() => String, { nullable: true }) csrfToken?: string;
}

@ObjectType()
export class Event {
  @Field(() => ID) id!: string;
  @Field() at!: string;
  @Field() kind!: string;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field(() => String, { nullable: true }) drvm!: string | null;
  @Field(() => String, { nullable: true }) node!: string | null;
  @Field() text!: string;
}

@ObjectType()
export class FileStat {
  @Field() path!: string;
  @Field() kind!: string;
  @Field(() => Float) size!: number;
  @Field(() => Int) mode!: number;
  @Field() modifiedAt!: string;
}

@ObjectType()
export class Output {
  @Field() text!: string;
  @Field(() => Float) nextOffset!: number;
  @Field(() => Float) lost!: number;
  @Field(() => Int, { nullable: true }) exitCode!: number | null;
  @Field(() => String, { nullable: true }) signal!: string | null;
}

@ObjectType()
export class OutputChunk {
  @Field() stream!: string;
  @Field(() => Float) offset!: number;
  @Field() text!: string;
  @Field(() => Int, { nullable: true, description: 'Set in the last chunk, when the process has ended' })
  exitCode!: number | null;
  @Field(() => String, { nullable: true }) signal!: string | null;
}

@InputType()
export class CeilingInput {
  @Field(() => Float, { nullable: true }) cpu?: number;
  @Field(() => Int, { nullable: true }) memoryMiB?: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
}

@InputType()
export class DeviceNeedInput {
  @Field() type!: string;
  @Field(() => Int, { nullable: true, defaultValue: 1 }) count!: number;
  @Field(() => [String], { nullable: true, defaultValue: [] }) traits!: string[];
}

@InputType()
export class DeviceLimitInput {
  @Field() type!: string;
  @Field(() => Int, { nullable: true, description: 'Null: no limit' }) quota?: number;
}

@InputType({ description: 'It says either when it ends or for how long it is' })
export class LeaseInput {
  @Field(() => String, { nullable: true }) startsAt?: string;
  @Field(() => String, { nullable: true }) endsAt?: string;
  @Field(() => Int, { nullable: true }) forSeconds?: number;
  @Field(() => Int, { nullable: true, description: 'Files are kept so long after the end' })
  keepSeconds?: number;
  @Field(() => String, { nullable: true, description: 'stop, shrink or notify' }) idleAction?: string;
  @Field(() => Int, { nullable: true }) idleAfterSeconds?: number;
}

@InputType()
export class CreateDrvmInput {
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => String, { nullable: true, defaultValue: 'mol' }) dvos!: string;
  @Field(() => Float) cpu!: number;
  @Field(() => Int) memoryMiB!: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
  @Field(() => Int, { nullable: true }) nodeCount?: number;
  @Field(() => [String], { nullable: true }) nodeNames?: string[];
  @Field(() => Boolean, { nullable: true, defaultValue: false }) exclusive!: boolean;
  @Field(() => String, { nullable: true }) policy?: string;
  @Field(() => CeilingInput, { nullable: true, description: 'Up to which it may borrow' })
  ceiling?: CeilingInput;
  @Field(() => [String], { nullable: true }) require?: string[];
  @Field(() => [String], { nullable: true }) forbid?: string[];
  @Field(() => [String], { nullable: true }) tolerate?: string[];
  @Field(() => String, { nullable: true, description: 'node, rack or site' }) spreadOver?: string;
  @Field(() => [ID], { nullable: true }) affinity?: string[];
  @Field(() => [ID], { nullable: true }) antiAffinity?: string[];
  @Field(() => [DeviceNeedInput], { nullable: true }) devices?: DeviceNeedInput[];
  @Field(() => ID, { nullable: true, description: 'One of those that allocationCandidates listed' })
  candidate?: string;
  @Field(() => String, {
    nullable: true,
    description: 'refuse or wait; createDrvm does not wait, queueDrvm does',
  })
  whenFull?: string;
  @Field(() => LeaseInput, { nullable: true }) lease?: LeaseInput;
}

@InputType({ description: 'New sums over the DRVM; what is left out stays as it is' })
export class ResizeDrvmInput {
  @Field(() => Float, { nullable: true }) cpu?: number;
  @Field(() => Int, { nullable: true }) memoryMiB?: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
  @Field(() => CeilingInput, { nullable: true, description: 'Up to these sums it may borrow' })
  ceiling?: CeilingInput;
  @Field(() => Int, { nullable: true, description: 'On how many nodes' }) nodeCount?: number;
  @Field(() => [String], { nullable: true, description: 'Nodes that come' }) addNodes?: string[];
  @Field(() => [String], { nullable: true, description: 'Nodes that go' }) removeNodes?: string[];
}

@ObjectType({ description: 'CPU that a slice lends of its guarantee now, or borrows above it' })
export class Loan {
  @Field(() => ID) id!: string;
  @Field() node!: string;
  @Field() drvm!: string;
  @Field(() => ID) drvmId!: string;
  @Field() tenant!: string;
  @Field({ description: 'lends or borrows' }) side!: string;
  @Field(() => Float) cpu!: number;
  @Field(() => Float) guaranteedCpu!: number;
  @Field(() => Float) heldCpu!: number;
  @Field(() => Float) ceilingCpu!: number;
  @Field() since!: string;
}

@InputType()
export class VariableInput {
  @Field() name!: string;
  @Field() value!: string;
}

@InputType()
export class DirectoryInput {
  @Field() path!: string;
  @Field() as!: string;
}

@InputType()
export class RunProgramInput {
  @Field({ description: 'A path inside the DRVM' }) program!: string;
  @Field(() => [String], { nullable: true, defaultValue: [] }) args!: string[];
  @Field(() => String, { nullable: true }) name?: string;
  @Field(() => [VariableInput], { nullable: true, defaultValue: [] }) env!: VariableInput[];
  @Field(() => [DirectoryInput], { nullable: true }) directories?: DirectoryInput[];
  @Field(() => String, { nullable: true }) stdinPath?: string;
  @Field(() => String, { nullable: true }) node?: string;
  @Field(() => String, { nullable: true }) requestKey?: string;
}

@InputType()
export class QuotaInput {
  @Field(() => Float, { nullable: true }) cpu?: number;
  @Field(() => Int, { nullable: true }) memoryMiB?: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
}

@InputType()
export class CreateUserInput {
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field() role!: string;
  @Field(() => String, { nullable: true }) password?: string;
}
