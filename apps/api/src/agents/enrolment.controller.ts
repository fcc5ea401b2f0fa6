import { Enrolment, EnrolmentAnswer } from '@drvs/contracts';
import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { Public } from '../auth/public.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { Endpoint } from '../openapi/endpoint.js';
import { EnrolmentService } from './enrolment.service.js';

@ApiTags('agents')
@Controller('agent/v1/enrol')
export class EnrolmentController {
  constructor(private readonly enrolment: EnrolmentService) {}

  @Public()
  @Post()
  @HttpCode(201)
  @Endpoint({
    summary: 'Join the cluster with a one-time token; answers the credential for the channel',
    body: Enrolment,
    answer: EnrolmentAnswer,
    status: 201,
    problems: ['NotAuthenticated', 'NotAllowed', 'AlreadyExists', 'StateConflict'],
    isPublic: true,
  })
  enrol(@Body(new ZodPipe(Enrolment)) enrolment: z.infer<typeof Enrolment>): Promise<EnrolmentAnswer> {
    return this.enrolment.enrol(enrolment);
  }
}
