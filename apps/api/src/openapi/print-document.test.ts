import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { ModulesContainer } from '@nestjs/core';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { previewedApp, printedDocument } from './print-document.js';
import type { ApiDocument, RouteOperation } from './whole-document.js';

const file = new URL('../../openapi.json', import.meta.url);

let document: ApiDocument;
let routes: [route: string, operation: RouteOperation][];
beforeAll(async () => {
  document = await printedDocument();
  routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, RouteOperation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
});

// With UPDATE_SCHEMA=1 this test writes the file; it is changed on purpose only, since clients are built from it.
test('apps/api/openapi.json is what the code serves', async () => {
  const printed = `${JSON.stringify(document, null, 1)}\n`;
  if (process.env.UPDATE_SCHEMA) await writeFile(file, printed);
  expect(await readFile(file, 'utf8')).toBe(printed);
});

describe('the description of REST', () => {
  test('has an entry for every route of every controller', async () => {
    const app = await previewedApp();
    const described = new Set(routes.map(([route]) => route.replaceAll(/\{(\w+)\}/g, ':$1')));
    const missing: string[] = [];
    for (const module of app.get(ModulesContainer).values()) {
      for (const { metatype } of module.controllers.values()) {
        const base = String(Reflect.getMetadata(PATH_METADATA, metatype as object) ?? '');
        if (!/^(api|agent)\//.test(base)) continue;
        const prototype = (metatype as { prototype: object }).prototype;
        for (const name of Object.getOwnPropertyNames(prototype)) {
          const handler: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value;
          if (typeof handler !== 'function') continue;
          const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
          if (method === undefined) continue;
          const path = String(Reflect.getMetadata(PATH_METADATA, handler) ?? '/').replace(/^\/|\/$/g, '');
          const route = `${RequestMethod[method]} /${base}${path === '' ? '' : `/${path}`}`;
          if (!described.has(route)) missing.push(route);
        }
      }
    }
    expect(missing).toEqual([]);
  });

  test('tells of every route what it takes, what it answers and how it fails', () => {
    const faults: string[] = [];
    for (const [route, operation] of routes) {
      const fault = (text: string): void => {
        faults.push(`${route}: ${text}`);
      };
      if (!operation.summary) fault('no summary: is it decorated with @Endpoint?');
      if (!operation.tags?.length) fault('no tag: is the controller decorated with @ApiTags?');
      const successes = Object.entries(operation.responses).filter(([status]) => /^2/.test(status));
      if (successes.length === 0) fault('no success');
      for (const [status, { content }] of successes) {
        if (status !== '204' && !content) fault(`${status} has neither an answer nor a media type`);
      }
      for (const media of Object.values(operation.requestBody?.content ?? {})) {
        if (media.example === undefined) fault('the body has no example');
      }
      for (const name of route.match(/(?<=\{)\w+(?=\})/g) ?? []) {
        const parameter = operation.parameters?.find((each) => each.in === 'path' && each.name === name);
        if (!parameter?.required) fault(`the parameter ${name} of the path is not described`);
      }
    }
    expect(faults).toEqual([]);
  });

  test('gives every operation an id of its own', () => {
    const ids = routes.map(([, { operationId }]) => operationId);
    expect(ids).toEqual([...new Set(ids)]);
  });

  test('is well formed, and its examples are what it describes', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
    ajv.addSchema(document, 'api');
    const faults: string[] = [];
    for (const [route, operation] of routes) {
      const bodies = [
        ...Object.entries(operation.requestBody?.content ?? {}),
        ...Object.values(operation.responses).flatMap(({ content = {} }) => Object.entries(content)),
      ];
      for (const [type, { schema, example }] of bodies) {
        if (example === undefined) continue;
        const resolved = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"api#/')) as object;
        const validate = ajv.compile(resolved);
        if (!validate(example)) {
          faults.push(
            `${route} ${type}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(example)}; ` +
              'give the field an example of its own with .meta({ example: … })',
          );
        }
      }
    }
    expect(faults).toEqual([]);
  });
});
