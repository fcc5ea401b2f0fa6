import { graphql } from '@/gen/cluster';

graphql(`
  fragment ClusterFields on Node {
    id
    name
    state
    exclusiveTo
    lastSeenAt
    agentVersion
    isolation
    capacity {
      cpu
      memoryMiB
      diskGiB
      networkMbps
    }
    allocated {
      cpu
      memoryMiB
      diskGiB
      networkMbps
    }
    used {
      cpu
      memoryMiB
      diskGiB
      networkMbps
    }
    slices {
      id
      drvm
      drvmId
      tenant
      index
      cpu
      ceilingCpu
      heldCpu
      memoryMiB
      diskGiB
      exclusive
      state
      isolation
      usedCpu
      usedMemoryMiB
      processes
    }
  }
`);

export const ClusterQuery = graphql(`
  query Cluster {
    nodes(first: 500) {
      nodes {
        ...ClusterFields
      }
    }
  }
`);

export const TelemetrySubscription = graphql(`
  subscription Telemetry {
    telemetry {
      ...ClusterFields
    }
  }
`);

export const NodeQuery = graphql(`
  query NodeDetail($name: String!) {
    node(name: $name) {
      ...ClusterFields
      labels {
        key
        value
      }
      interfaces {
        name
        mac
        addresses
        speedMbps
        state
      }
      devices {
        id
        kind
        name
        path
        sizeBytes
        traits
      }
    }
  }
`);
