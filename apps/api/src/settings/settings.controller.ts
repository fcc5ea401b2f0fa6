import type { SettingView } from '@drvs/contracts';
import { Body, Controller, Delete, Get, Param, Put } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { CurrentActor } from '../auth/current-actor.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { SettingAnswer } from '../openapi/watch-answers.js';
import { SettingsService } from './settings.service.js';

const NewValue = z.strictObject({ value: z.unknown() });
type NewValue = z.infer<typeof NewValue>;

@ApiTags('settings')
@Controller('api/v1/settings')
export class SettingsController {
  constructor(private readonly settings: SettingsService) {}

  @Get()
  @Endpoint({
    summary: 'What may be set, and what holds now',
    answer: z.object({ items: z.array(SettingAnswer) }),
  })
  async list(@CurrentActor() actor: Actor): Promise<{ items: SettingView[] }> {
    return { items: await this.settings.list(actor) };
  }

  @Put(':key')
  @Endpoint({ summary: 'Set it', body: NewValue, answer: SettingAnswer, idempotent: true })
  set(
    @CurrentActor() actor: Actor,
    @Param('key') key: string,
    @Body(new ZodPipe(NewValue)) { value }: NewValue,
  ): Promise<SettingView> {
    return this.settings.set(actor, key, value);
  }

  @Delete(':key')
  @Endpoint({ summary: 'Go back to what holds without it', answer: SettingAnswer, idempotent: true })
  unset(@CurrentActor() actor: Actor, @Param('key') key: string): Promise<SettingView> {
    return this.settings.unset(actor, key);
  }
}
