import { type DynamicModule, Module } from '@nestjs/common';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import type { SecretBox } from './config/secret-box.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { OperationsModule } from './operations/operations.module.js';

@Module({})
export class AppModule {
  static with(config: Config, secretBox: SecretBox): DynamicModule {
    return {
      module: AppModule,
      imports: [ConfigModule.with(config, secretBox), DatabaseModule, HealthModule, OperationsModule],
    };
  }
}
