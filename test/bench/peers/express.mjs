// The peer of a read: NestJS on Express that answers `hello` and does nothing else.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';

// Decorators, written as what they are: functions.
class HelloController {
  hello() {
    return 'hello';
  }
}
Get()(
  HelloController.prototype,
  'hello',
  Object.getOwnPropertyDescriptor(HelloController.prototype, 'hello'),
);
Controller()(HelloController);
class HelloModule {}
Module({ controllers: [HelloController] })(HelloModule);

const app = await NestFactory.create(HelloModule, new ExpressAdapter(), { logger: false });
await app.listen(Number(process.env.PORT), '127.0.0.1');
