import { graphql } from '@/gen/plans';

graphql(`
  fragment PlanFields on ClusterPlan {
    id
    kind
    node
    createdAt
    expiresAt
    requestedBy
    operation
    steps {
      action
      drvm
      pid
      command
      node
      from
      to
      bytes
      pauseMs
      reason
    }
    gain {
      summary
    }
    cost {
      moves
      bytes
      pauseMs
      seconds
      summary
    }
    rejected {
      what
      reason
    }
  }
`);

export const PlansQuery = graphql(`
  query Plans($first: Int) {
    plans(first: $first) {
      nodes {
        ...PlanFields
      }
    }
  }
`);

export const MakePlanMutation = graphql(`
  mutation MakePlan($kind: String!, $node: String) {
    makePlan(kind: $kind, node: $node) {
      ...PlanFields
    }
  }
`);

export const ApplyPlanMutation = graphql(`
  mutation ApplyPlan($id: ID!) {
    applyPlan(id: $id) {
      id
      state
    }
  }
`);

export const UndoPlanMutation = graphql(`
  mutation UndoPlan($id: ID!) {
    undoPlan(id: $id) {
      ...PlanFields
    }
  }
`);
