import { graphql } from '@/gen/operations';

graphql(`
  fragment OperationFields on Operation {
    id
    kind
    state
    progress
    subject
    result
    awaits
    requestedBy
    createdAt
    endedAt
    steps {
      name
      state
      startedAt
      endedAt
      error
    }
    error {
      code
      message
      hint
    }
  }
`);

export const OperationsQuery = graphql(`
  query Operations($first: Int) {
    operations(first: $first) {
      nodes {
        ...OperationFields
      }
    }
  }
`);

/** What the badge in the header counts. */
export const GoingOperationsQuery = graphql(`
  query GoingOperations($first: Int) {
    operations(first: $first) {
      nodes {
        id
        state
      }
    }
  }
`);

export const OperationSubscription = graphql(`
  subscription OperationProgress($id: ID!) {
    operation(id: $id) {
      ...OperationFields
    }
  }
`);

export const CancelOperationMutation = graphql(`
  mutation CancelOperation($id: ID!) {
    cancelOperation(id: $id) {
      id
      state
    }
  }
`);

export const RetryOperationMutation = graphql(`
  mutation RetryOperation($id: ID!) {
    retryOperation(id: $id) {
      id
      state
    }
  }
`);

export const ContinueOperationMutation = graphql(`
  mutation ContinueOperation($id: ID!, $nodes: [String!]) {
    continueOperation(id: $id, nodes: $nodes) {
      id
      state
    }
  }
`);
