/** Why a step is in a plan: a closed vocabulary, for programs and translations. */
export type StepReason =
  | 'hot-node'
  | 'hot-slice'
  | 'empty-node'
  | 'node-can-be-emptied'
  | 'maintenance'
  | 'makes-room'
  | 'holds-more-than-it-needs'
  | 'needs-more'
  | 'owner-comes-first'
  | 'demand-rises'
  | 'request-waits'
  | 'node-lost';

/** Why something is not in a plan: a closed vocabulary too. */
export type RejectionRule =
  | 'no-room'
  | 'too-large'
  | 'would-be-hot'
  | 'not-eligible'
  | 'exclusive'
  | 'replicas-together'
  | 'pinned-process'
  | 'no-other-slice'
  | 'cooling-down'
  | 'not-long-enough'
  | 'churn-budget'
  | 'no-payback'
  | 'minimum-nodes'
  | 'headroom'
  | 'no-power-control'
  | 'failed-to-wake'
  | 'not-fenced'
  | 'at-ceiling'
  | 'nothing-to-lend'
  | 'not-up'
  | 'surge-limit';

const RULE_WORDS: Record<RejectionRule, string> = {
  'no-room': 'too little is free there',
  'too-large': 'more is needed than the whole node has',
  'would-be-hot': 'it would become too busy',
  'not-eligible': 'traits or taints do not suit',
  exclusive: 'exclusive use or DRVMs that avoid each other',
  'replicas-together': 'two replicas would meet',
  'pinned-process': 'a process is bound to a device of its node',
  'no-other-slice': 'its DRVM has no other node that takes processes',
  'cooling-down': 'it was moved a short while ago',
  'not-long-enough': 'it has not been so for long enough',
  'churn-budget': 'enough has been moved in this hour',
  'no-payback': 'it would cost more than it earns',
  'minimum-nodes': 'so many nodes are to stay on',
  headroom: 'too little would stay free',
  'no-power-control': 'nothing could switch it on again',
  'failed-to-wake': 'it once failed to come back',
  'not-fenced': 'it is not proven that the node has stopped',
  'at-ceiling': 'it holds all that its ceiling allows',
  'nothing-to-lend': 'nobody on its node holds more than needed',
  'not-up': 'it is not up, or takes nothing new',
  'surge-limit': 'enough nodes are switched at once',
};

export const wordsFor = (rule: RejectionRule): string => RULE_WORDS[rule];
