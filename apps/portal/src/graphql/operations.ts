import { graphql } from '@/gen/operations';

graphql(`
  fragment OperationFields on Operation {
    id
    kind
    state
    progress
    subject
    result
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
