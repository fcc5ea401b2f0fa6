import { graphql } from '@/gen/resize';

export const PlanResizeMutation = graphql(`
  mutation PlanResize($id: ID!, $input: ResizeDrvmInput!) {
    planResize(id: $id, input: $input) {
      id
      steps {
        action
        node
        cpu
        memoryMiB
        diskGiB
        reason
      }
      rejected {
        what
        reason
        advice
      }
    }
  }
`);

export const ResizeDrvmMutation = graphql(`
  mutation ResizeDrvm($id: ID!, $generation: Int, $input: ResizeDrvmInput!) {
    resizeDrvm(id: $id, generation: $generation, input: $input) {
      id
      state
    }
  }
`);

export const HistoryQuery = graphql(`
  query History($drvm: String!, $metric: String!, $step: Int!) {
    telemetryHistory(drvm: $drvm, metric: $metric, step: $step) {
      from
      to
      stepSeconds
      series {
        node
        metric
        points {
          at
          mean
          max
        }
      }
    }
  }
`);
