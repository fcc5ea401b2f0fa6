import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { ApiDocument, RouteOperation } from '../../apps/api/src/openapi/whole-document.js';

/**
 * Holds real answers of REST to the description that the API serves: the status, the error code, and every field. A
 * field that the description does not tell of is a fault, too; clients may not refuse it, but here it was forgotten.
 */
export class DocumentedAnswers {
  static readonly #byUrl = new Map<string, Promise<DocumentedAnswers>>();
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #routes: { pattern: RegExp; literals: number; path: string }[];

  constructor(private readonly document: ApiDocument) {
    (addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv);
    this.#ajv.addSchema(closed(document) as object, 'api');
    this.#routes = Object.keys(document.paths).map((path) => ({
      path,
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      literals: path.split('/').filter((part) => !part.startsWith('{')).length,
    }));
  }

  /** The description that is served there, read once. */
  static of(url: string): Promise<DocumentedAnswers> {
    const known = DocumentedAnswers.#byUrl.get(url);
    if (known) return known;
    const read = fetch(`${url}/api/v1/openapi.json`).then(
      async (answer) => new DocumentedAnswers((await answer.json()) as ApiDocument),
    );
    DocumentedAnswers.#byUrl.set(url, read);
    return read;
  }

  /** @throws Error that says what the description lacks. @param path with its query, below the address */
  check(method: string, path: string, status: number, contentType: string | null, body: unknown): void {
    const [route, operation] = this.#routeOf(method, path.split('?', 1)[0] ?? path);
    // Nothing is promised of what does not exist.
    if (operation === null) return;
    const type = contentType?.split(';', 1)[0] ?? '';
    if (type === 'application/problem+json') {
      this.#validate(`${route} ${status}`, { $ref: 'api#/components/schemas/Problem' }, body);
      const { code } = body as { code: string };
      if (operation['x-problem-codes']?.includes(code)) return;
      throw new Error(
        `${route} answered ${code}, which its description does not tell of: add it to \`problems\` of its @Endpoint`,
      );
    }
    const response = operation.responses[String(status)];
    if (!response) {
      throw new Error(
        `${route} answered ${status}, which its description does not tell of (see its @Endpoint)`,
      );
    }
    const schema = response.content?.[type]?.schema;
    if (!schema || type !== 'application/json') return;
    const pointer = [
      'paths',
      route.split(' ')[1],
      method.toLowerCase(),
      'responses',
      String(status),
      'content',
      type,
    ];
    const reference = [...pointer, 'schema']
      .map((part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/');
    this.#validate(`${route} ${status}`, { $ref: `api#/${reference}` }, body);
  }

  #routeOf(method: string, path: string): [string, RouteOperation | null] {
    const [found] = this.#routes
      .filter(({ pattern, path: template }) => pattern.test(path) && this.#operation(template, method))
      .sort((a, b) => b.literals - a.literals);
    if (!found) return [`${method} ${path}`, null];
    return [`${method} ${found.path}`, this.#operation(found.path, method)];
  }

  #operation(path: string, method: string): RouteOperation | null {
    return this.document.paths[path]?.[method.toLowerCase()] ?? null;
  }

  #validate(what: string, schema: object, body: unknown): void {
    const validate = this.#validators.get(what) ?? this.#ajv.compile(schema);
    this.#validators.set(what, validate);
    if (validate(body)) return;
    throw new Error(
      `${what} is not what its description says: ${this.#ajv.errorsText(validate.errors)} ` +
        `in ${JSON.stringify(body).slice(0, 2_000)}; mend its schema (apps/api/src/openapi/answers.ts or beside it)`,
    );
  }
}

/** Objects that have exactly the properties that are told of. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const mapped = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, closed(each)]));
  const isObjectSchema =
    typeof mapped.properties === 'object' &&
    mapped.type !== undefined &&
    mapped.additionalProperties === undefined;
  return isObjectSchema ? { ...mapped, additionalProperties: false } : mapped;
}
