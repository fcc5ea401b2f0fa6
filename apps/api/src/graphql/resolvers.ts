import { AllocationResolver } from './allocation.resolver.js';
import { ClusterResolver } from './cluster.resolver.js';
import { DrvmBatchResolver } from './drvm-batch.resolver.js';
import { DrvmsResolver } from './drvms.resolver.js';
import { FailuresResolver } from './failures.resolver.js';
import { InventoryResolver } from './inventory.resolver.js';
import { PeopleResolver } from './people.resolver.js';
import { PlansResolver } from './plans.resolver.js';
import { PowerResolver } from './power.resolver.js';
import { ProcessesResolver } from './processes.resolver.js';
import { ReconfigureResolver } from './reconfigure.resolver.js';
import { SchedulesResolver } from './schedules.resolver.js';
import { SecretsResolver } from './secrets.resolver.js';
import { ViewerResolver } from './viewer.resolver.js';
import { WatchResolver } from './watch.resolver.js';

export const RESOLVERS = [
  ViewerResolver,
  PeopleResolver,
  SecretsResolver,
  ClusterResolver,
  DrvmsResolver,
  DrvmBatchResolver,
  ReconfigureResolver,
  InventoryResolver,
  AllocationResolver,
  ProcessesResolver,
  PlansResolver,
  PowerResolver,
  FailuresResolver,
  SchedulesResolver,
  WatchResolver,
];
