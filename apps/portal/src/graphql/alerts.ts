import { graphql } from '@/gen/alerts';

export const AlertsQuery = graphql(`
  query Alerts($first: Int, $state: String) {
    alerts(first: $first, state: $state) {
      nodes {
        id
        rule
        metric
        severity
        state
        subject
        tenant
        value
        threshold
        since
        firedAt
        resolvedAt
        silencedUntil
      }
      pageInfo {
        hasNextPage
      }
    }
  }
`);

/** What the badge in the header counts. */
export const FiringAlertsQuery = graphql(`
  query FiringAlerts($first: Int) {
    alerts(first: $first, state: "firing") {
      nodes {
        id
        silencedUntil
      }
      pageInfo {
        hasNextPage
      }
    }
  }
`);

export const SilenceAlertMutation = graphql(`
  mutation SilenceAlert($id: ID!, $seconds: Int!) {
    silenceAlert(id: $id, seconds: $seconds) {
      id
      silencedUntil
    }
  }
`);
