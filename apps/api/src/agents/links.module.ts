import { Module } from '@nestjs/common';
import { AgentLinks } from './agent-links.js';
import { DrvmConditions } from './drvm-conditions.js';
import { SpecPush } from './spec-push.js';

/** What both the operations and the channel need: who is connected, how DRVMs are judged, how containers are told. */
@Module({
  providers: [AgentLinks, DrvmConditions, SpecPush],
  exports: [AgentLinks, DrvmConditions, SpecPush],
})
export class LinksModule {}
