import { graphql } from '@/gen/events';

graphql(`
  fragment EventFields on Event {
    id
    at
    kind
    tenant
    drvm
    node
    text
  }
`);

export const EventsQuery = graphql(`
  query Events($first: Int, $after: String) {
    events(first: $first, after: $after) {
      nodes {
        ...EventFields
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`);

export const EventsSubscription = graphql(`
  subscription EventsAsTheyCome {
    events {
      ...EventFields
    }
  }
`);
