import { graphql } from '@/gen/energy';

export const EnergyQuery = graphql(`
  query Energy {
    energy {
      formula
      unallocatedKWh
      now {
        watts
        nodesOn
        nodesOff
      }
      today {
        from
        to
        kWh
        allOnKWh
        savedKWh
        measured
      }
      month {
        from
        to
        kWh
        allOnKWh
        savedKWh
        measured
      }
      nodes {
        node
        state
        watts
        source
        todayKWh
        monthKWh
        savedKWh
      }
      tenants {
        tenant
        todayKWh
        monthKWh
      }
      drvms {
        drvm
        tenant
        todayKWh
        monthKWh
      }
    }
  }
`);

export const RecommendationsQuery = graphql(`
  query Recommendations {
    energyRecommendations {
      summary
      recommendations {
        node
        savedWatts
        moves
        reason
      }
      rejected {
        what
        reason
      }
    }
  }
`);

graphql(`
  fragment PlannerFields on PlannerSettings {
    generation
    updatedAt
    updatedBy
    modes {
      kind
      mode
    }
    policy {
      name
      value
      isDefault
    }
    windows {
      kinds
      effect
      days
      from
      to
      timeZone
    }
  }
`);

export const PlannerQuery = graphql(`
  query Planner {
    plannerSettings {
      ...PlannerFields
    }
  }
`);

export const ChangePlannerMutation = graphql(`
  mutation ChangePlanner($input: ChangePlannerInput!) {
    changePlanner(input: $input) {
      ...PlannerFields
    }
  }
`);
