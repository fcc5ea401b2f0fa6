import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from '../app.module.js';
import { readConfig } from '../config/config.js';
import { SecretBox } from '../config/secret-box.js';
import { apiDocument } from './document.js';
import type { ApiDocument } from './whole-document.js';

/** The controllers without anything behind them: nothing is connected, nothing listens. */
export function previewedApp(): Promise<NestFastifyApplication> {
  const config = readConfig({ DATABASE_URL: 'postgresql://localhost/none', DRVS_DATA: '/nonexistent' });
  return NestFactory.create<NestFastifyApplication>(
    AppModule.with(config, new SecretBox(randomBytes(32))),
    new FastifyAdapter(),
    { logger: false, preview: true, abortOnError: false },
  );
}

/** The description of REST as `apps/api/openapi.json` keeps it: what the typed client is generated from. */
export async function printedDocument(): Promise<ApiDocument> {
  const { version } = readConfig({ DATABASE_URL: 'postgresql://localhost/none' });
  return apiDocument(await previewedApp(), version);
}
