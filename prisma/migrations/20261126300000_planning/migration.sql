-- Plans of every kind over the running cluster: what a drain moved off a node is kept so that it can come back, since
-- when a node has been hot or cold and a slice idle is kept so that nobody acts on a moment, and schedules make plans.

ALTER TABLE "plan"
  DROP CONSTRAINT "plan_kind_check",
  DROP CONSTRAINT "plan_drain_names_its_node",
  -- A node that is removed for good leaves the plan that emptied it.
  DROP CONSTRAINT "plan_node_id_fkey",
  ADD CONSTRAINT "plan_node_id_fkey" FOREIGN KEY ("node_id") REFERENCES "node" ("id") ON DELETE SET NULL,
  ADD CONSTRAINT "plan_kind_check" CHECK ("kind" IN
    ('balance', 'consolidate', 'reallocate', 'power', 'drain', 'restore', 'evacuate', 'undo')),
  ADD CONSTRAINT "plan_names_its_node" CHECK (
    "kind" = 'undo' OR ("kind" IN ('drain', 'restore', 'evacuate')) = ("node" IS NOT NULL)),
  -- What is asked for besides the node: {mode} of a restore, {remove} of a drain, {plan} of an undo.
  ADD COLUMN "request" JSONB NOT NULL DEFAULT '{}',
  -- Who began it: a request, the planner by itself, or a schedule.
  ADD COLUMN "origin" TEXT NOT NULL DEFAULT 'request' CHECK ("origin" IN ('request', 'automatic', 'schedule'));

-- Since when a node has been above the hot mark, or below the cold one; since when a slice has used clearly less than
-- it holds. Null while it is not so.
ALTER TABLE "node" ADD COLUMN "hot_since" TIMESTAMPTZ(3), ADD COLUMN "cold_since" TIMESTAMPTZ(3);
ALTER TABLE "slice" ADD COLUMN "idle_since" TIMESTAMPTZ(3);

-- What a drain moved off a node, until it has come back or was told to stay.
CREATE TABLE "departure" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE CASCADE,
  "drvm_id" UUID NOT NULL REFERENCES "drvm" ("id") ON DELETE CASCADE,
  -- Where it is now; follows it when it moves on as a whole.
  "to_node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE CASCADE,
  "guaranteed" JSONB NOT NULL,
  "ceiling" JSONB NOT NULL,
  "pids" JSONB NOT NULL,
  -- It was added to a slice that its DRVM had there.
  "merged" BOOLEAN NOT NULL,
  "operation_id" UUID REFERENCES "operation" ("id") ON DELETE SET NULL,
  "position" INTEGER NOT NULL,
  "left_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "departure_once_per_step" UNIQUE ("operation_id", "position")
);
CREATE INDEX "departure_node" ON "departure" ("node_id", "left_at");
CREATE INDEX "departure_drvm" ON "departure" ("drvm_id");

-- When a plan is made and carried out by itself. A due time is run at most once: `next_due_at` only goes forward.
CREATE TABLE "schedule" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "name" TEXT NOT NULL UNIQUE,
  "cron" TEXT NOT NULL,
  "time_zone" TEXT NOT NULL,
  -- The plan that is asked for, as `POST plans` takes it.
  "request" JSONB NOT NULL,
  "enabled" BOOLEAN NOT NULL DEFAULT true,
  -- What becomes of runs whose time passed while nobody was there to see it.
  "missed" TEXT NOT NULL DEFAULT 'skip' CHECK ("missed" IN ('skip', 'run-once')),
  -- Null: the expression names no time that is to come.
  "next_due_at" TIMESTAMPTZ(3),
  "last_due_at" TIMESTAMPTZ(3),
  "last_run_at" TIMESTAMPTZ(3),
  "last_outcome" TEXT,
  "last_detail" TEXT NOT NULL DEFAULT '',
  "last_operation_id" UUID REFERENCES "operation" ("id") ON DELETE SET NULL,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "generation" INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX "schedule_due" ON "schedule" ("next_due_at") WHERE "enabled";

-- Schedules and departures are the whole cluster's: a department sees none.
GRANT SELECT, INSERT, UPDATE, DELETE ON "schedule" TO drvs_app;
ALTER TABLE "schedule" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "schedule" FOR SELECT TO drvs_app USING (app_sees_all());
CREATE POLICY "supra_admin" ON "schedule" TO drvs_app USING (app_may_write(NULL)) WITH CHECK (app_may_write(NULL));
GRANT SELECT ON "departure" TO drvs_app;
ALTER TABLE "departure" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "departure" FOR SELECT TO drvs_app USING (app_sees_all());
