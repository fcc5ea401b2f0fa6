import { Field, Float, ID, InputType, Int, ObjectType, OmitType } from '@nestjs/graphql';
import { Amounts, CreateDrvmInput, LeaseInput } from './object-types.js';

/** Single resources and who may have them: the views of REST by the same names. What is a map there is a list here. */

@ObjectType({ description: 'What a node offers of one class, in the unit of the class' })
export class Inventory {
  @Field() class!: string;
  @Field(() => Float) total!: number;
  @Field(() => Float) reserved!: number;
  @Field(() => Float, { description: 'What may be given is (total - reserved) x ratio' }) ratio!: number;
  @Field(() => Int) step!: number;
  @Field(() => Float) capacity!: number;
  @Field(() => Float) given!: number;
  @Field(() => Float) free!: number;
  @Field(() => Int) generation!: number;
}

@ObjectType()
export class NodeInventory {
  @Field() node!: string;
  @Field(() => ID) nodeId!: string;
  @Field(() => [Inventory]) classes!: Inventory[];
  @Field(() => Float) generation!: number;
}

@ObjectType()
export class NodeCheckItem {
  @Field() name!: string;
  @Field() passed!: boolean;
  @Field() detail!: string;
  @Field({ description: 'JSON: what was measured, by name' }) figures!: string;
}

@ObjectType({ description: 'Traits, taints and place of a node, and its burn-in check' })
export class NodeRules {
  @Field() node!: string;
  @Field(() => ID) nodeId!: string;
  @Field(() => [String], { description: 'Traits that its agent found' }) found!: string[];
  @Field(() => [String], { description: 'Traits set by hand' }) set!: string[];
  @Field(() => [String]) taints!: string[];
  @Field(() => String, { nullable: true }) rack!: string | null;
  @Field(() => String, { nullable: true }) site!: string | null;
  @Field({ description: 'pending, passed, failed or accepted' }) probation!: string;
  @Field(() => String, { nullable: true }) checkedAt!: string | null;
  @Field(() => [NodeCheckItem]) checks!: NodeCheckItem[];
  @Field(() => Int) generation!: number;
}

@ObjectType({ description: 'A device as a provider of one unit' })
export class ProvidedDevice {
  @Field(() => ID) id!: string;
  @Field() node!: string;
  @Field(() => ID) nodeId!: string;
  @Field() key!: string;
  @Field() type!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true }) path!: string | null;
  @Field(() => Float, { nullable: true }) sizeBytes!: number | null;
  @Field(() => [String]) traits!: string[];
  @Field(() => Int) total!: number;
  @Field(() => Int, { description: 'As many as total: out of service' }) reserved!: number;
  @Field() present!: boolean;
  @Field(() => String, { nullable: true }) drvm!: string | null;
  @Field(() => ID, { nullable: true }) drvmId!: string | null;
  @Field(() => String, { nullable: true }) tenant!: string | null;
  @Field(() => Int) generation!: number;
}

@ObjectType()
export class TopologyNode {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field() state!: string;
  @Field(() => [String]) taints!: string[];
}

@ObjectType()
export class TopologyRack {
  @Field(() => String, { nullable: true }) rack!: string | null;
  @Field(() => [TopologyNode]) nodes!: TopologyNode[];
}

@ObjectType()
export class TopologySite {
  @Field(() => String, { nullable: true }) site!: string | null;
  @Field(() => [TopologyRack]) racks!: TopologyRack[];
}

@ObjectType()
export class CandidateDevice {
  @Field() key!: string;
  @Field() type!: string;
}

@ObjectType()
export class CandidateSlice extends Amounts {
  @Field() node!: string;
  @Field(() => Int) index!: number;
  @Field(() => [CandidateDevice]) devices!: CandidateDevice[];
}

@ObjectType({ description: 'Each from 0 to 1' })
export class CandidateScores {
  @Field(() => Float) fit!: number;
  @Field(() => Float) domains!: number;
  @Field(() => Float) network!: number;
  @Field(() => Float) fragmentation!: number;
  @Field(() => Float) energy!: number;
  @Field(() => Float) total!: number;
}

@ObjectType({ description: 'A set of slices that would hold the DRVM' })
export class Candidate {
  @Field(() => ID) id!: string;
  @Field(() => Int) rank!: number;
  @Field(() => [CandidateSlice]) slices!: CandidateSlice[];
  @Field(() => CandidateScores) scores!: CandidateScores;
}

@ObjectType()
export class RuleCount {
  @Field() rule!: string;
  @Field(() => Int) nodes!: number;
}

@ObjectType()
export class Candidates {
  @Field() tenant!: string;
  @Field(() => Float, { description: 'With the same seed on the same cluster the same candidates come' })
  seed!: number;
  @Field() snapshot!: string;
  @Field() expiresAt!: string;
  @Field(() => [Candidate]) candidates!: Candidate[];
  @Field(() => [RuleCount]) rules!: RuleCount[];
}

@ObjectType()
export class ExplainedQuota {
  @Field() class!: string;
  @Field(() => Float) quota!: number;
  @Field(() => Float) used!: number;
  @Field(() => Float) requested!: number;
}

@ObjectType()
export class ExplainedShortage {
  @Field() class!: string;
  @Field(() => Float) requested!: number;
  @Field(() => Float) available!: number;
}

@ObjectType()
export class ExplainedRule extends RuleCount {
  @Field() words!: string;
  @Field() change!: string;
}

@ObjectType()
export class NearestDevice {
  @Field() type!: string;
  @Field(() => Int) count!: number;
}

@ObjectType({ description: 'The largest request not above the one asked for that would be accepted now' })
export class NearestRequest extends Amounts {
  @Field(() => Int) nodes!: number;
  @Field(() => [NearestDevice]) devices!: NearestDevice[];
}

@ObjectType()
export class Explanation {
  @Field({ description: 'now, not-now or never' }) verdict!: string;
  @Field() message!: string;
  @Field(() => String, { nullable: true }) hint!: string | null;
  @Field(() => [ExplainedQuota]) quota!: ExplainedQuota[];
  @Field(() => [ExplainedShortage]) short!: ExplainedShortage[];
  @Field(() => [ExplainedRule]) rules!: ExplainedRule[];
  @Field(() => NearestRequest, { nullable: true }) nearest!: NearestRequest | null;
  @Field(() => [CandidateSlice], { description: 'Of the best candidate, where there is one' })
  best!: CandidateSlice[];
}

@ObjectType({ description: 'A creation that waits for room' })
export class WaitingRequest {
  @Field(() => ID) id!: string;
  @Field() tenant!: string;
  @Field() name!: string;
  @Field() state!: string;
  @Field(() => Int, { nullable: true }) position!: number | null;
  @Field() reason!: string;
  @Field(() => Int) attempts!: number;
  @Field(() => String, { nullable: true }) notBefore!: string | null;
  @Field(() => String, { nullable: true }) nextLookAt!: string | null;
  @Field() requestedBy!: string;
  @Field() createdAt!: string;
  @Field(() => String, { nullable: true }) endedAt!: string | null;
  @Field(() => String, { nullable: true }) drvm!: string | null;
  @Field(() => ID, { nullable: true }) operation!: string | null;
}

@ObjectType()
class BrokenRule {
  @Field() node!: string;
  @Field() rule!: string;
  @Field() reason!: string;
}

@ObjectType()
export class DrvmRuleSet {
  @Field() drvm!: string;
  @Field(() => ID) drvmId!: string;
  @Field(() => [String]) affinity!: string[];
  @Field(() => [String]) antiAffinity!: string[];
  @Field(() => [String]) require!: string[];
  @Field(() => [String]) forbid!: string[];
  @Field(() => [String]) tolerate!: string[];
  @Field(() => [BrokenRule], {
    description: 'What its slices break where they are; a balance mends what it can',
  })
  broken!: BrokenRule[];
  @Field(() => Int) generation!: number;
}

@InputType({ description: 'Each list that is given replaces the one before' })
export class DrvmRulesInput {
  @Field(() => [String], { nullable: true }) affinity?: string[];
  @Field(() => [String], { nullable: true }) antiAffinity?: string[];
  @Field(() => [String], { nullable: true }) require?: string[];
  @Field(() => [String], { nullable: true }) forbid?: string[];
  @Field(() => [String], { nullable: true }) tolerate?: string[];
}

@ObjectType()
export class Lease {
  @Field() drvm!: string;
  @Field(() => ID) drvmId!: string;
  @Field() tenant!: string;
  @Field() state!: string;
  @Field() startsAt!: string;
  @Field() endsAt!: string;
  @Field(() => String, { nullable: true }) filesUntil!: string | null;
  @Field(() => Int) keepSeconds!: number;
  @Field(() => String, { nullable: true }) idleAction!: string | null;
  @Field(() => Int, { nullable: true }) idleAfterSeconds!: number | null;
  @Field(() => String, { nullable: true }) idleSince!: string | null;
  @Field(() => Int) extensions!: number;
  @Field(() => Int) generation!: number;
}

@ObjectType({ description: 'What the DRVMs of a course have in common' })
export class Template {
  @Field(() => ID) id!: string;
  @Field() name!: string;
  @Field(() => String, { nullable: true, description: 'Null: for all departments' }) tenant!: string | null;
  @Field() description!: string;
  @Field({ description: 'JSON, as REST takes it' }) body!: string;
  @Field() createdBy!: string;
  @Field() createdAt!: string;
  @Field(() => Int) generation!: number;
}

@ObjectType()
export class ImportRow {
  @Field(() => Int) row!: number;
  @Field() name!: string;
  @Field({ description: 'created, waiting, fits or refused' }) outcome!: string;
  @Field(() => [String]) nodes!: string[];
  @Field(() => ID, { nullable: true }) operation!: string | null;
  @Field(() => String, { nullable: true }) error!: string | null;
}

@InputType({ description: 'A DRVM among several that are made together' })
export class BatchDrvmInput extends OmitType(CreateDrvmInput, [
  'tenant',
  'affinity',
  'antiAffinity',
  'devices',
  'candidate',
  'lease',
] as const) {}

@ObjectType()
export class CreatedDrvm {
  @Field(() => ID) operationId!: string;
  @Field(() => ID) drvmId!: string;
  @Field() name!: string;
}

@InputType({ description: 'A DRVM that may never be made' })
export class AllocationInput extends OmitType(CreateDrvmInput, [
  'name',
  'candidate',
  'whenFull',
  'lease',
] as const) {
  @Field(() => Float, { nullable: true, description: 'Decides between equals; of candidates only' })
  seed?: number;
  @Field(() => Int, { nullable: true, description: 'Candidates at most' }) limit?: number;
}

@InputType({ description: 'What is left out stays' })
export class InventoryInput {
  @Field({ description: 'cpuMilli, memoryMiB, diskGiB or networkMbps' }) class!: string;
  @Field(() => Int, { nullable: true }) reserved?: number;
  @Field(() => Float, { nullable: true }) ratio?: number;
  @Field(() => Int, { nullable: true }) step?: number;
}

@InputType()
export class ImportRowInput {
  @Field() name!: string;
  @Field(() => String, { nullable: true }) tenant?: string;
  @Field(() => Float, { nullable: true }) cpu?: number;
  @Field(() => Int, { nullable: true }) memoryMiB?: number;
  @Field(() => Int, { nullable: true }) diskGiB?: number;
  @Field(() => Int, { nullable: true }) networkMbps?: number;
  @Field(() => LeaseInput, { nullable: true }) lease?: LeaseInput;
}
