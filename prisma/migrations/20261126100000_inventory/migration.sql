-- Single resources are administered one by one: traits, taints and burn-in of nodes, devices that are given exclusively,
-- rules between DRVMs, shares between tenants, requests that wait for room, leases and templates.

ALTER TABLE "node"
  -- Set by hand, beside those that the agent finds: `ssd`, `rack=r1`, `site=centro`.
  ADD COLUMN "traits" TEXT[] NOT NULL DEFAULT '{}',
  -- `key=value:NoSchedule`: only DRVMs that tolerate each of them get something new here.
  ADD COLUMN "taints" TEXT[] NOT NULL DEFAULT '{}',
  -- Burn-in. A node gets its first slices when its own check has passed, or when somebody has accepted it.
  ADD COLUMN "probation" TEXT NOT NULL DEFAULT 'passed'
    CHECK ("probation" IN ('pending', 'passed', 'failed', 'accepted')),
  ADD COLUMN "check_result" JSONB,
  ADD COLUMN "checked_at" TIMESTAMPTZ(3);

ALTER TABLE "tenant"
  -- Of what all want, a tenant of weight 2 gets twice what one of weight 1 gets.
  ADD COLUMN "weight" DOUBLE PRECISION NOT NULL DEFAULT 1 CHECK ("weight" > 0 AND "weight" <= 1000),
  -- By type of device; a type that is not named has no limit.
  ADD COLUMN "quota_devices" JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof("quota_devices") = 'object');

-- A device is a provider of one unit. Held back (`reserved` = 1) it is out of service.
CREATE TABLE "device" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE CASCADE,
  -- Stable within the node: `pci:0000:00:04.0`.
  "key" TEXT NOT NULL,
  -- The host that has it: agents that share a host find the same devices.
  "host" TEXT NOT NULL,
  "type" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "path" TEXT,
  "size_bytes" BIGINT,
  "traits" TEXT[] NOT NULL DEFAULT '{}',
  "total" INTEGER NOT NULL DEFAULT 1 CHECK ("total" = 1),
  "reserved" INTEGER NOT NULL DEFAULT 0 CHECK ("reserved" BETWEEN 0 AND 1),
  -- False when the agent no longer finds it; the row stays as long as somebody holds it.
  "present" BOOLEAN NOT NULL DEFAULT true,
  "generation" INTEGER NOT NULL DEFAULT 1,
  UNIQUE ("node_id", "key"),
  UNIQUE ("id", "node_id")
);
CREATE INDEX "device_type" ON "device" ("type");

CREATE TABLE "device_allocation" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "device_id" UUID NOT NULL,
  "node_id" UUID NOT NULL,
  "drvm_id" UUID NOT NULL,
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE RESTRICT,
  -- `host/key` of the device: one physical device, however many agents find it.
  "identity" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  FOREIGN KEY ("device_id", "node_id") REFERENCES "device" ("id", "node_id") ON DELETE CASCADE,
  FOREIGN KEY ("drvm_id", "tenant_id") REFERENCES "drvm" ("id", "tenant_id") ON DELETE CASCADE,
  -- A device serves the slice on its own node, and goes back with it.
  FOREIGN KEY ("drvm_id", "node_id") REFERENCES "slice" ("drvm_id", "node_id") ON DELETE CASCADE
);
-- A device is given to one DRVM at most.
CREATE UNIQUE INDEX "device_allocation_exclusive" ON "device_allocation" ("device_id");
CREATE UNIQUE INDEX "device_allocation_physical" ON "device_allocation" ("identity");
CREATE INDEX "device_allocation_drvm" ON "device_allocation" ("drvm_id");
CREATE INDEX "device_allocation_tenant" ON "device_allocation" ("tenant_id");

-- Two DRVMs that may not share a node (`apart`), or of which the first goes only where the other is (`together`).
CREATE TABLE "drvm_affinity" (
  "drvm_id" UUID NOT NULL,
  "other_id" UUID NOT NULL REFERENCES "drvm" ("id") ON DELETE CASCADE,
  "tenant_id" UUID NOT NULL,
  "kind" TEXT NOT NULL CHECK ("kind" IN ('apart', 'together')),
  PRIMARY KEY ("drvm_id", "other_id"),
  FOREIGN KEY ("drvm_id", "tenant_id") REFERENCES "drvm" ("id", "tenant_id") ON DELETE CASCADE,
  CONSTRAINT "drvm_affinity_with_another" CHECK ("drvm_id" <> "other_id")
);
CREATE INDEX "drvm_affinity_other" ON "drvm_affinity" ("other_id");

-- A set of slices that was offered, to be claimed by its id for a while.
CREATE TABLE "candidate" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "request" JSONB NOT NULL,
  "offer" JSONB NOT NULL,
  "requested_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expires_at" TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX "candidate_tenant" ON "candidate" ("tenant_id");
CREATE INDEX "candidate_expires_at" ON "candidate" ("expires_at");

-- Creations that wait for room.
CREATE TABLE "waiting_request" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "name" TEXT NOT NULL,
  "input" JSONB NOT NULL,
  -- In whose name it is created.
  "actor" JSONB NOT NULL,
  "requested_by" TEXT NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'waiting' CHECK ("state" IN ('waiting', 'admitted', 'refused', 'cancelled')),
  "not_before" TIMESTAMPTZ(3),
  "attempts" INTEGER NOT NULL DEFAULT 0,
  -- How often a later one was let in before it.
  "passed_over" INTEGER NOT NULL DEFAULT 0,
  "next_look_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  -- Until then nothing is let in after it.
  "hold_until" TIMESTAMPTZ(3),
  "reason" TEXT NOT NULL DEFAULT '',
  "drvm_id" UUID,
  "operation_id" UUID,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "ended_at" TIMESTAMPTZ(3),
  CONSTRAINT "waiting_request_ended" CHECK (("state" = 'waiting') = ("ended_at" IS NULL))
);
CREATE UNIQUE INDEX "waiting_request_name" ON "waiting_request" ("tenant_id", "name") WHERE "state" = 'waiting';
CREATE INDEX "waiting_request_waiting" ON "waiting_request" ("created_at") WHERE "state" = 'waiting';

CREATE TABLE "lease" (
  "drvm_id" UUID PRIMARY KEY,
  "tenant_id" UUID NOT NULL,
  "starts_at" TIMESTAMPTZ(3) NOT NULL,
  "ends_at" TIMESTAMPTZ(3) NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'active' CHECK ("state" IN ('active', 'ended')),
  -- Files are kept so long after the end.
  "keep_seconds" INTEGER NOT NULL CHECK ("keep_seconds" >= 0),
  "idle_action" TEXT CHECK ("idle_action" IN ('stop', 'shrink', 'notify')),
  "idle_after_seconds" INTEGER CHECK ("idle_after_seconds" > 0),
  "idle_since" TIMESTAMPTZ(3),
  "idle_acted_at" TIMESTAMPTZ(3),
  -- Seconds before the end at which the last warning was told.
  "warned_seconds" INTEGER,
  "extensions" INTEGER NOT NULL DEFAULT 0,
  "ended_at" TIMESTAMPTZ(3),
  "generation" INTEGER NOT NULL DEFAULT 1,
  FOREIGN KEY ("drvm_id", "tenant_id") REFERENCES "drvm" ("id", "tenant_id") ON DELETE CASCADE,
  CONSTRAINT "lease_ends_after_start" CHECK ("ends_at" > "starts_at"),
  CONSTRAINT "lease_idle_is_whole" CHECK (("idle_action" IS NULL) = ("idle_after_seconds" IS NULL)),
  CONSTRAINT "lease_ended" CHECK (("state" = 'ended') = ("ended_at" IS NOT NULL))
);
CREATE INDEX "lease_tenant" ON "lease" ("tenant_id");
CREATE INDEX "lease_ends_at" ON "lease" ("ends_at");

-- Without a tenant it is offered to all.
CREATE TABLE "template" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "name" TEXT NOT NULL CHECK ("name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  "description" TEXT NOT NULL DEFAULT '',
  "body" JSONB NOT NULL,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "generation" INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX "template_name" ON "template" (coalesce("tenant_id", '00000000-0000-0000-0000-000000000000'), "name");

-- DR004: not a multiple of the step; DR005: two DRVMs that are to be apart; DR006: a device that is not to be had.
CREATE FUNCTION slice_rules() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  odd RECORD;
BEGIN
  -- The ledger's own trigger, which comes before by its name, holds the locks of the node.
  SELECT given."class", given."amount", i."step" INTO odd
    FROM (VALUES
      ('cpuMilli'::"resource_class", NEW."cpu_milli", CASE WHEN TG_OP = 'UPDATE' THEN OLD."cpu_milli" END),
      ('memoryMiB', NEW."memory_mib", CASE WHEN TG_OP = 'UPDATE' THEN OLD."memory_mib" END),
      ('diskGiB', NEW."disk_gib", CASE WHEN TG_OP = 'UPDATE' THEN OLD."disk_gib" END),
      ('networkMbps', NEW."network_mbps", CASE WHEN TG_OP = 'UPDATE' THEN OLD."network_mbps" END)
    ) AS given ("class", "amount", "before")
    JOIN "inventory" i ON i."node_id" = NEW."node_id" AND i."class" = given."class"
    WHERE given."amount" IS DISTINCT FROM given."before" AND given."amount" % i."step" <> 0
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION '% of % is not a multiple of %, the step of node %', odd."amount", odd."class", odd."step", NEW."node_id"
      USING ERRCODE = 'DR004';
  END IF;
  IF TG_OP = 'INSERT' AND EXISTS (
    SELECT FROM "drvm_affinity" a JOIN "slice" s ON s."node_id" = NEW."node_id"
      WHERE a."kind" = 'apart'
        AND ((a."drvm_id" = NEW."drvm_id" AND s."drvm_id" = a."other_id")
          OR (a."other_id" = NEW."drvm_id" AND s."drvm_id" = a."drvm_id"))
  ) THEN
    RAISE EXCEPTION 'node % holds a DRVM that this one is to be apart from', NEW."node_id" USING ERRCODE = 'DR005';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_rules_rows" AFTER INSERT ON "slice" FOR EACH ROW EXECUTE FUNCTION slice_rules();
CREATE TRIGGER "slice_rules_amounts"
  AFTER UPDATE OF "cpu_milli", "memory_mib", "disk_gib", "network_mbps" ON "slice"
  FOR EACH ROW EXECUTE FUNCTION slice_rules();

CREATE FUNCTION device_given() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  row_now "device"%ROWTYPE;
BEGIN
  SELECT * INTO row_now FROM "device" WHERE "id" = NEW."device_id" FOR UPDATE;
  IF NOT row_now."present" OR row_now."reserved" >= row_now."total" THEN
    RAISE EXCEPTION 'the device % is %', row_now."key", CASE WHEN row_now."present" THEN 'out of service' ELSE 'gone' END
      USING ERRCODE = 'DR006';
  END IF;
  NEW."identity" := row_now."host" || '/' || row_now."key";
  UPDATE "device" SET "generation" = "generation" + 1 WHERE "id" = NEW."device_id";
  RETURN NEW;
END $$;
CREATE TRIGGER "device_allocation_given" BEFORE INSERT ON "device_allocation"
  FOR EACH ROW EXECUTE FUNCTION device_given();
CREATE FUNCTION device_returned() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE "device" SET "generation" = "generation" + 1 WHERE "id" = OLD."device_id";
  -- One that the agent no longer finds was kept for its holder only.
  DELETE FROM "device" WHERE "id" = OLD."device_id" AND NOT "present";
  RETURN NULL;
END $$;
CREATE TRIGGER "device_allocation_returned" AFTER DELETE ON "device_allocation"
  FOR EACH ROW EXECUTE FUNCTION device_returned();

GRANT SELECT ON "device" TO drvs_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  "device_allocation", "drvm_affinity", "candidate", "waiting_request", "lease", "template" TO drvs_app;

DO $$
DECLARE
  owned TEXT;
BEGIN
  FOREACH owned IN ARRAY ARRAY['device_allocation', 'drvm_affinity', 'candidate', 'waiting_request', 'lease'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY "read_own" ON %I FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant())', owned);
    EXECUTE format('CREATE POLICY "insert_own" ON %I FOR INSERT TO drvs_app WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "update_own" ON %I FOR UPDATE TO drvs_app USING (app_may_write("tenant_id")) WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "delete_own" ON %I FOR DELETE TO drvs_app USING (app_may_write("tenant_id"))', owned);
  END LOOP;
END $$;

-- A tenant sees the devices that it holds.
ALTER TABLE "device" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_held" ON "device" FOR SELECT TO drvs_app
  USING (app_sees_all() OR EXISTS (
    SELECT FROM "device_allocation" a WHERE a."device_id" = "device"."id" AND a."tenant_id" = app_tenant()
  ));

-- Templates for all are read by all.
ALTER TABLE "template" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_own_and_common" ON "template" FOR SELECT TO drvs_app
  USING (app_sees_all() OR "tenant_id" IS NULL OR "tenant_id" = app_tenant());
CREATE POLICY "insert_own" ON "template" FOR INSERT TO drvs_app WITH CHECK (app_may_write("tenant_id"));
CREATE POLICY "update_own" ON "template" FOR UPDATE TO drvs_app
  USING (app_may_write("tenant_id")) WITH CHECK (app_may_write("tenant_id"));
CREATE POLICY "delete_own" ON "template" FOR DELETE TO drvs_app USING (app_may_write("tenant_id"));
