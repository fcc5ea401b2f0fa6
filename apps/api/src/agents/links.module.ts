import { Module } from '@nestjs/common';
import { AgentLinks } from './agent-links.js';
import { DrvmConditions } from './drvm-conditions.js';

/** What both the operations and the channel need: who is connected, and how DRVMs are judged. */
@Module({ providers: [AgentLinks, DrvmConditions], exports: [AgentLinks, DrvmConditions] })
export class LinksModule {}
