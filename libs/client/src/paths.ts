import type { paths } from './gen/openapi.js';

/** The routes of REST, as `apps/api/openapi.json` tells of them. */
export type Paths = paths;

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** The route's answer in JSON, whichever success it is. */
export type AnswerOf<Path extends keyof Paths, Of extends Method> = Paths[Path][Of] extends {
  responses: infer Responses;
}
  ? {
      [Status in keyof Responses & (200 | 201 | 202)]: Responses[Status] extends {
        content: { 'application/json': infer Answer };
      }
        ? Answer
        : never;
    }[keyof Responses & (200 | 201 | 202)]
  : never;

/** What a change takes. */
export type BodyOf<Path extends keyof Paths, Of extends Method> = Paths[Path][Of] extends {
  requestBody?: { content: { 'application/json': infer Body } };
}
  ? Body
  : never;

/** Routes that answer pages: `{items, nextCursor}`. */
export type ListPath = {
  [Path in keyof Paths]: AnswerOf<Path, 'get'> extends { items: unknown[] } ? Path : never;
}[keyof Paths];

/** One item of a list. */
export type ItemOf<Path extends ListPath> =
  AnswerOf<Path, 'get'> extends { items: (infer Item)[] } ? Item : never;

/** The query of a route. */
export type QueryOf<Path extends keyof Paths> = Paths[Path]['get'] extends {
  parameters: { query?: infer Query };
}
  ? NonNullable<Query>
  : Record<string, never>;

/** The parameters in a route's path. */
export type PathParametersOf<Path extends keyof Paths> = Paths[Path]['get'] extends {
  parameters: { path: infer Parameters };
}
  ? Parameters
  : undefined;
