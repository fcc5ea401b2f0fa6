import { describe, expect, it } from '@jest/globals';
import { GraphQLError } from 'graphql';
import { formatErrors } from './errors.js';

const FAULT = 'Int cannot represent non-integer value: 1.5';

describe('errors of GraphQL', () => {
  it('tell what is wrong in a document, not only that it is', () => {
    const wrapped = Object.assign(new Error('Graphql validation error'), {
      errors: [new GraphQLError(FAULT)],
    });
    const error = new GraphQLError('Graphql validation error', { originalError: wrapped });
    const { response } = formatErrors({ errors: [error] }, () => undefined);
    expect(response.errors?.map(({ message }) => message)).toEqual([FAULT]);
    expect(response.errors?.[0]?.extensions).toMatchObject({ code: 'InvalidInput', status: 400 });
  });

  it('tell ten faults of a document at most', () => {
    const errors = Array.from({ length: 50 }, () => new GraphQLError(FAULT));
    const wrapped = Object.assign(new Error('Graphql validation error'), { errors });
    const error = new GraphQLError('Graphql validation error', { originalError: wrapped });
    expect(formatErrors({ errors: [error] }, () => undefined).response.errors).toHaveLength(10);
  });
});
