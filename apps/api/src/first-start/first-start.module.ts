import { Module } from '@nestjs/common';
import { FirstStart } from './first-start.service.js';

@Module({ providers: [FirstStart] })
export class FirstStartModule {}
