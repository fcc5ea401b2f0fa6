import { graphql } from '@/gen/node';

export const NodePowerQuery = graphql(`
  query NodePowerState($node: String!) {
    nodePower(node: $node) {
      node
      state
      since
      reason
      driver
      automatic
      watts
      source
      idleWatts
      fullWatts
    }
  }
`);

export const NodeRulesQuery = graphql(`
  query NodeRulesDetail($node: String!) {
    nodeRules(node: $node) {
      nodeId
      site
      rack
      taints
      found
      set
      probation
      checkedAt
      checks {
        name
        passed
        detail
      }
    }
  }
`);

export const DrainNodeMutation = graphql(`
  mutation DrainNode($name: String!) {
    drainNode(name: $name) {
      id
      state
    }
  }
`);

export const RestoreNodeMutation = graphql(`
  mutation RestoreNode($name: String!, $mode: String!) {
    restoreNodeTo(name: $name, mode: $mode) {
      id
      state
    }
  }
`);

export const SwitchNodeMutation = graphql(`
  mutation SwitchNode($node: String!, $power: String!, $force: String, $open: Boolean) {
    switchNodePower(node: $node, power: $power, force: $force, open: $open) {
      id
      state
    }
  }
`);
