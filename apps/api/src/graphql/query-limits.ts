import { DrvsError } from '@drvs/contracts';
import {
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { DEFAULT_PAGE, MAX_PAGE } from '../http/paging.js';

/**
 * What one request may ask for. A document is judged before it is executed: how deep it goes, how many aliases and
 * fields it has with its fragments written out, and how many objects it may bring (lists counted at the length that
 * was asked for).
 */
export const MAX_DEPTH = 10;
export const MAX_ALIASES = 30;
/** Field values at most, in the worst case. */
export const MAX_COST = 200_000;
export const MAX_BATCH = 10;
/** What is asked of introspection is fixed by the tools that ask; it goes deeper. */
const MAX_INTROSPECTION_DEPTH = 20;
/** Lists without a `first` of their own, by the field's name: what they hold at most, or usually. */
const LIST_LENGTHS: Readonly<Record<string, number>> = {
  nodes: 1,
  edges: 1,
  slices: 16,
  processes: 100,
  steps: 16,
  labels: 8,
  interfaces: 8,
  devices: 16,
  files: 100,
  telemetry: 100,
  lines: 100,
  series: 20,
  points: 240,
  items: 100,
};
const CONNECTIONS: ReadonlySet<string> = new Set([
  'nodes',
  'drvms',
  'tenants',
  'users',
  'operations',
  'events',
]);

interface Measure {
  aliases: number;
  cost: number;
}

/**
 * @param mayIntrospect whether `__schema` and `__type` are answered
 * @throws DrvsError InvalidInput
 */
export function requireWithinLimits(
  document: DocumentNode,
  variables: Readonly<Record<string, unknown>>,
  mayIntrospect: boolean,
): void {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) judge(definition, fragments, variables, mayIntrospect);
  }
}

function judge(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  variables: Readonly<Record<string, unknown>>,
  mayIntrospect: boolean,
): void {
  const measure: Measure = { aliases: 0, cost: 0 };
  const walk = (
    set: SelectionSetNode,
    depth: number,
    times: number,
    isRoot: boolean,
    isIntrospection: boolean,
  ): void => {
    for (const selection of set.selections) {
      // Spreads count too: a few fragments that spread each other twice are a very large query.
      measure.cost += times;
      requireBelow('cost', measure.cost, MAX_COST);
      if (selection.kind === Kind.FRAGMENT_SPREAD) {
        const fragment = fragments.get(selection.name.value);
        if (fragment) walk(fragment.selectionSet, depth, times, isRoot, isIntrospection);
        continue;
      }
      if (selection.kind === Kind.INLINE_FRAGMENT) {
        walk(selection.selectionSet, depth, times, isRoot, isIntrospection);
        continue;
      }
      const name = selection.name.value;
      const introspects = isIntrospection || name === '__schema' || name === '__type';
      if (introspects && !mayIntrospect) {
        throw new DrvsError('NotAuthenticated', 'introspection is for those who are signed in', {
          hint: 'Sign in first, or send an API token.',
        });
      }
      if (selection.alias && selection.alias.value !== name) measure.aliases++;
      requireBelow('depth', depth, introspects ? MAX_INTROSPECTION_DEPTH : MAX_DEPTH);
      requireBelow('number of aliases', measure.aliases, MAX_ALIASES);
      if (selection.selectionSet) {
        const length = introspects ? 1 : lengthOf(selection, isRoot, variables);
        walk(selection.selectionSet, depth + 1, times * length, false, introspects);
      }
    }
  };
  walk(operation.selectionSet, 1, 1, true, false);
}

function lengthOf(field: FieldNode, isRoot: boolean, variables: Readonly<Record<string, unknown>>): number {
  const name = field.name.value;
  const first = field.arguments?.find((argument) => argument.name.value === 'first')?.value;
  const asked =
    first?.kind === Kind.INT
      ? Number(first.value)
      : first?.kind === Kind.VARIABLE
        ? Number(variables[first.name.value])
        : Number.NaN;
  if (Number.isFinite(asked)) return Math.min(Math.max(asked, 1), MAX_PAGE);
  if (isRoot && CONNECTIONS.has(name)) return DEFAULT_PAGE;
  return LIST_LENGTHS[name] ?? (name === 'operations' ? 20 : 1);
}

function requireBelow(what: string, value: number, limit: number): void {
  if (value <= limit) return;
  throw new DrvsError('InvalidInput', `the ${what} of the query is above ${limit}`, {
    hint: 'Ask for less at once: fewer levels, shorter lists (first: …), several requests.',
    details: { limit },
  });
}
