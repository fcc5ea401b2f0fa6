import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AuthController } from './auth.controller.js';
import { AuthGuard } from './auth.guard.js';
import { AuthService, LOGIN_THROTTLE } from './auth.service.js';
import { LoginThrottle } from './login-throttle.js';

@Global()
@Module({
  controllers: [AuthController],
  providers: [
    AuthService,
    { provide: LOGIN_THROTTLE, useFactory: () => new LoginThrottle() },
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
  exports: [AuthService],
})
export class AuthModule {}
