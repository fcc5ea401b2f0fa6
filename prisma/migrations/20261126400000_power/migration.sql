-- Power and failure of nodes: how each is switched, in which state its power is, what it has drawn, and what is known
-- of a node that fell silent. All of it outlives the process that was at it.

CREATE TABLE "node_power" (
  "node_id" UUID PRIMARY KEY REFERENCES "node" ("id") ON DELETE CASCADE,
  "driver" TEXT NOT NULL DEFAULT 'none' CHECK ("driver" IN ('none', 'wol', 'ipmi', 'redfish', 'command', 'local')),
  "settings" JSONB NOT NULL DEFAULT '{}',
  -- Passwords, sealed with the installation's secret.
  "secret" BYTEA,
  "automatic" BOOLEAN NOT NULL DEFAULT true,
  "state" TEXT NOT NULL DEFAULT 'on'
    CHECK ("state" IN ('on', 'powering-off', 'off', 'powering-on', 'joining', 'failed', 'quarantined')),
  "since" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  -- Time in a state is counted only while somebody looks: what is left of it, and when it was looked at last.
  "looked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "left_ms" INTEGER,
  "attempts" INTEGER NOT NULL DEFAULT 0 CHECK ("attempts" >= 0),
  "failures" INTEGER NOT NULL DEFAULT 0 CHECK ("failures" >= 0),
  "reason" TEXT NOT NULL DEFAULT '',
  "operation_id" UUID,
  -- Whether it takes new work again by itself once it is back.
  "reopens" BOOLEAN NOT NULL DEFAULT false,
  "forced" BOOLEAN NOT NULL DEFAULT false,
  "inventory_at" TIMESTAMPTZ(3),
  "model" JSONB,
  -- The last figure of each meter.
  "watts" DOUBLE PRECISION CHECK ("watts" >= 0),
  "watts_source" TEXT CHECK ("watts_source" IN ('driver', 'rapl', 'command', 'model')),
  "watts_at" TIMESTAMPTZ(3),
  "generation" INTEGER NOT NULL DEFAULT 1,
  CONSTRAINT "node_power_deadline_when_it_must_end"
    CHECK ("left_ms" IS NULL OR "state" IN ('powering-off', 'powering-on', 'joining'))
);

-- Hours of energy, in joules, by node.
CREATE TABLE "energy_hour" (
  "hour" TIMESTAMPTZ(0) NOT NULL,
  "node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE CASCADE,
  "joules" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("joules" >= 0),
  "measured_joules" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("measured_joules" >= 0),
  -- What it would have drawn, had it been on and idle while it was off; and what it drew while it was on.
  "all_on_joules" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("all_on_joules" >= 0),
  "on_seconds" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("on_seconds" >= 0),
  "off_seconds" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("off_seconds" >= 0),
  PRIMARY KEY ("hour", "node_id")
);
CREATE INDEX "energy_hour_node" ON "energy_hour" ("node_id", "hour");

-- The same hours, divided over whom the nodes worked for. Names are kept as they were: a DRVM may be gone.
CREATE TABLE "energy_share" (
  "hour" TIMESTAMPTZ(0) NOT NULL,
  "drvm_id" UUID NOT NULL,
  "drvm" TEXT NOT NULL,
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "joules" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("joules" >= 0),
  PRIMARY KEY ("hour", "drvm_id")
);
CREATE INDEX "energy_share_tenant" ON "energy_share" ("tenant_id", "hour");

-- What was wanted of the cluster's CPU in each hour: what the forecast learns from.
CREATE TABLE "demand_hour" (
  "hour" TIMESTAMPTZ(0) PRIMARY KEY,
  "seconds" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("seconds" >= 0),
  "milli_seconds" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("milli_seconds" >= 0),
  "peak_milli" INTEGER NOT NULL DEFAULT 0 CHECK ("peak_milli" >= 0)
);

CREATE TABLE "node_failure" (
  "node_id" UUID PRIMARY KEY REFERENCES "node" ("id") ON DELETE CASCADE,
  "phase" TEXT NOT NULL DEFAULT 'well' CHECK ("phase" IN
    ('well', 'suspect', 'confirmed', 'fencing', 'fenced', 'evacuating', 'evacuated', 'returning', 'held-out')),
  "since" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "looked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "left_ms" INTEGER,
  "attempts" INTEGER NOT NULL DEFAULT 0 CHECK ("attempts" >= 0),
  "reason" TEXT NOT NULL DEFAULT '',
  -- [{at, by, says}]
  "evidence" JSONB NOT NULL DEFAULT '[]',
  -- When it came back, in the time in which flapping is counted.
  "returns" JSONB NOT NULL DEFAULT '[]',
  "held_for_ms" INTEGER,
  "operation_id" UUID,
  "generation" INTEGER NOT NULL DEFAULT 1
);

GRANT SELECT, INSERT, UPDATE, DELETE ON "node_power", "node_failure" TO drvs_app;
GRANT SELECT ON "energy_hour", "energy_share", "demand_hour" TO drvs_app;
ALTER TABLE "node_power" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "node_power" FOR SELECT TO drvs_app USING (app_sees_all());
CREATE POLICY "supra_admin" ON "node_power" TO drvs_app USING (app_may_write(NULL)) WITH CHECK (app_may_write(NULL));
ALTER TABLE "node_failure" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "node_failure" FOR SELECT TO drvs_app USING (app_sees_all());
CREATE POLICY "supra_admin" ON "node_failure" TO drvs_app USING (app_may_write(NULL)) WITH CHECK (app_may_write(NULL));
ALTER TABLE "energy_hour" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "energy_hour" FOR SELECT TO drvs_app USING (app_sees_all());
ALTER TABLE "demand_hour" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "demand_hour" FOR SELECT TO drvs_app USING (app_sees_all());
ALTER TABLE "energy_share" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_own" ON "energy_share" FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant());
