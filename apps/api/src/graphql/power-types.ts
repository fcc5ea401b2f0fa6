import { Field, Float, ID, Int, ObjectType } from '@nestjs/graphql';

@ObjectType({ description: 'How a node is switched, in which state its power is, and what it draws' })
export class NodePower {
  @Field() node!: string;
  @Field() state!: string;
  @Field() since!: string;
  @Field(() => String, { nullable: true }) deadline!: string | null;
  @Field(() => Int) attempts!: number;
  @Field(() => Int) failures!: number;
  @Field() reason!: string;
  @Field() driver!: string;
  @Field({ description: 'JSON, without secrets' }) settings!: string;
  @Field() hasSecret!: boolean;
  @Field() automatic!: boolean;
  @Field(() => Float) watts!: number;
  @Field({ description: 'driver, rapl, command or model' }) source!: string;
  @Field(() => Float) idleWatts!: number;
  @Field(() => Float) fullWatts!: number;
  @Field(() => Int) generation!: number;
}

@ObjectType()
export class PowerReading {
  @Field() node!: string;
  @Field() driver!: string;
  @Field() power!: string;
  @Field(() => Float, { nullable: true }) watts!: number | null;
  @Field() detail!: string;
  @Field(() => Int) milliseconds!: number;
}

@ObjectType()
export class EnergySpan {
  @Field() from!: string;
  @Field() to!: string;
  @Field(() => Float) kWh!: number;
  @Field(() => Float, { description: 'Had no node been switched off' }) allOnKWh!: number;
  @Field(() => Float) savedKWh!: number;
  @Field(() => Float, { description: 'Share that was measured, 0 to 1' }) measured!: number;
}

@ObjectType()
export class EnergyNow {
  @Field(() => Float) watts!: number;
  @Field(() => Int) nodesOn!: number;
  @Field(() => Int) nodesOff!: number;
}

@ObjectType()
export class NodeEnergy {
  @Field() node!: string;
  @Field() state!: string;
  @Field(() => Float) watts!: number;
  @Field() source!: string;
  @Field(() => Float) todayKWh!: number;
  @Field(() => Float) monthKWh!: number;
  @Field(() => Float) savedKWh!: number;
}

@ObjectType()
export class DrvmEnergy {
  @Field() drvm!: string;
  @Field() tenant!: string;
  @Field(() => Float) todayKWh!: number;
  @Field(() => Float) monthKWh!: number;
}

@ObjectType()
export class TenantEnergy {
  @Field() tenant!: string;
  @Field(() => Float) todayKWh!: number;
  @Field(() => Float) monthKWh!: number;
}

@ObjectType()
export class ExpectedDemand {
  @Field() at!: string;
  @Field(() => Float) cpu!: number;
  @Field() basis!: string;
}

@ObjectType({ description: 'What is drawn, for whom, and what was saved; a department sees its own part' })
export class EnergyReport {
  @Field(() => EnergyNow) now!: EnergyNow;
  @Field(() => EnergySpan) today!: EnergySpan;
  @Field(() => EnergySpan) month!: EnergySpan;
  @Field(() => [NodeEnergy]) nodes!: NodeEnergy[];
  @Field(() => [DrvmEnergy]) drvms!: DrvmEnergy[];
  @Field(() => [TenantEnergy]) tenants!: TenantEnergy[];
  @Field(() => Float) unallocatedKWh!: number;
  @Field() formula!: string;
  @Field(() => [ExpectedDemand]) forecast!: ExpectedDemand[];
}

@ObjectType()
export class EnergyRecommendation {
  @Field() node!: string;
  @Field(() => Float) savedWatts!: number;
  @Field(() => Int) moves!: number;
  @Field() reason!: string;
}

@ObjectType()
export class EnergyRejection {
  @Field() what!: string;
  @Field() reason!: string;
}

@ObjectType()
export class EnergyRecommendations {
  @Field(() => [EnergyRecommendation]) recommendations!: EnergyRecommendation[];
  @Field(() => [EnergyRejection]) rejected!: EnergyRejection[];
  @Field() summary!: string;
}

@ObjectType()
export class FailureEvidence {
  @Field() at!: string;
  @Field() by!: string;
  @Field() says!: string;
}

@ObjectType({ description: 'What is known of a node that fell silent, and what was done about it' })
export class NodeFailure {
  @Field() node!: string;
  @Field() phase!: string;
  @Field() since!: string;
  @Field(() => String, { nullable: true }) deadline!: string | null;
  @Field() reason!: string;
  @Field(() => [FailureEvidence]) evidence!: FailureEvidence[];
  @Field(() => [String]) returns!: string[];
  @Field(() => String, { nullable: true }) heldUntil!: string | null;
  @Field(() => ID, { nullable: true }) operation!: string | null;
}
