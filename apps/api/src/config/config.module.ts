import { type DynamicModule, Global, Module } from '@nestjs/common';
import { CONFIG, type Config } from './config.js';
import { SecretBox } from './secret-box.js';

@Global()
@Module({})
export class ConfigModule {
  static with(config: Config, secretBox: SecretBox): DynamicModule {
    return {
      module: ConfigModule,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: SecretBox, useValue: secretBox },
      ],
      exports: [CONFIG, SecretBox],
    };
  }
}
