/** Why a step is in a plan: a closed vocabulary, for programs and translations. */
export type StepReason =
  | 'hot-node'
  | 'hot-slice'
  | 'rule-broken'
  | 'empty-node'
  | 'node-can-be-emptied'
  | 'maintenance'
  | 'makes-room'
  | 'holds-more-than-it-needs'
  | 'needs-more'
  | 'owner-comes-first'
  | 'demand-rises'
  | 'too-few-on'
  | 'request-waits'
  | 'node-lost'
  | 'maintenance-over'
  | 'taken-back';

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
  | 'lending'
  | 'not-up'
  | 'surge-limit'
  | 'moved-on'
  | 'no-longer-so'
  | 'busy'
  | 'stopped-home'
  | 'home-lost';

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
  lending: 'lending decides what is held of CPU for as long as it is on',
  'not-up': 'it is not up, or takes nothing new',
  'surge-limit': 'enough nodes are switched at once',
  'moved-on': 'it has gone elsewhere, or was changed, since',
  'no-longer-so': 'the cluster is no longer as it was left',
  busy: 'its DRVM is being changed, or does not answer',
  'stopped-home': 'its DRVM is stopped, and its files are there',
  'home-lost': 'the servers and files of its DRVM were there',
};

export const wordsFor = (rule: RejectionRule): string => RULE_WORDS[rule];

const ADVICE: Partial<Record<RejectionRule, string>> = {
  'no-room':
    'free so much on one node (`drvs drvm resize`, `drvs plan reallocate`), switch a node on, or add one',
  'too-large': 'make the slice smaller (`drvs drvm resize`), or add a larger node',
  'would-be-hot': 'wait until the load falls, or add a node',
  'not-eligible': 'give a node the traits that the DRVM requires, or let the DRVM tolerate its taints',
  exclusive: 'empty another node for it, or give up that it has its nodes to itself',
  'replicas-together': 'add a node, or keep fewer replicas',
  'pinned-process': 'stop the program that holds the device, or detach the device',
  'no-other-slice': 'give the DRVM a slice on another node (`drvs drvm resize`)',
  'cooling-down': 'wait, or lower coolDownSeconds (`drvs policy set`)',
  'not-long-enough': 'wait, or lower hotHoldSeconds or coldHoldSeconds (`drvs policy set`)',
  'churn-budget': 'wait an hour, or raise movesPerHourPerNode (`drvs policy set`)',
  'no-power-control': 'give the node a power driver (`drvs node power`)',
  'failed-to-wake': 'look at the node, then clear the mark (`drvs node power`)',
  'not-fenced': 'cut its power, or confirm that it is off',
  'at-ceiling': 'raise its ceiling (`drvs drvm resize`)',
  lending: 'switch lending off (`drvs policy lending off`), if plans are to lend CPU',
  'minimum-nodes': 'lower power.nodesMin (`drvs policy set`)',
  headroom: 'lower power.headroomKept (`drvs policy set`)',
  'not-up': 'open or start a node',
  'stopped-home': 'start the DRVM (`drvs drvm start`), or delete it',
  'home-lost': 'bring the node back, or restore a snapshot of the DRVM (`drvs drvm restore`)',
  busy: 'wait for the operation to end (`drvs op list`), or look at the DRVM (`drvs drvm show`)',
};

/** What somebody could change so that a rule no longer stands in the way; null where nothing need be done. */
export const adviceFor = (rule: RejectionRule): string | null => ADVICE[rule] ?? null;
