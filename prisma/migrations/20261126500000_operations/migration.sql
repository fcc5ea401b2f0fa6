-- Operations get deadlines, places in a fair queue and logs; events go out by webhooks that lose nothing; what nodes and
-- DRVMs use is kept and accounted; rules watch over it and raise alerts.

-- Operations -------------------------------------------------------------------------------------------------------
ALTER TABLE "operation"
  ADD COLUMN "deadline_at" TIMESTAMPTZ(3),
  -- Set when it got its place; until then it waits for others of its tenant or its nodes to end.
  ADD COLUMN "admitted_at" TIMESTAMPTZ(3),
  ADD COLUMN "node_ids" UUID[] NOT NULL DEFAULT '{}';
UPDATE "operation" SET "admitted_at" = coalesce("started_at", "created_at") WHERE "state" IN ('queued', 'running');
CREATE INDEX "operation_waiting" ON "operation" ("tenant_id", "id") WHERE "state" = 'queued' AND "admitted_at" IS NULL;
CREATE INDEX "operation_ended_at" ON "operation" ("ended_at") WHERE "ended_at" IS NOT NULL;
CREATE INDEX "operation_subject" ON "operation" ("subject" text_pattern_ops);

CREATE TABLE "operation_log" (
  "id" BIGSERIAL PRIMARY KEY,
  "operation_id" UUID NOT NULL REFERENCES "operation" ("id") ON DELETE CASCADE,
  -- Null: about the operation as a whole.
  "position" INTEGER,
  "at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
  "level" TEXT NOT NULL CHECK ("level" IN ('info', 'warn', 'error')),
  "text" TEXT NOT NULL CHECK (length("text") <= 2000)
);
CREATE INDEX "operation_log_of" ON "operation_log" ("operation_id", "id");
GRANT SELECT, INSERT, DELETE ON "operation_log" TO drvs_app;
GRANT USAGE ON SEQUENCE "operation_log_id_seq" TO drvs_app;
ALTER TABLE "operation_log" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "with_its_operation" ON "operation_log" TO drvs_app
  USING (EXISTS (SELECT FROM "operation" o WHERE o."id" = "operation_id"))
  WITH CHECK (EXISTS (SELECT FROM "operation" o WHERE o."id" = "operation_id" AND app_may_write(o."tenant_id")));

-- Webhooks ---------------------------------------------------------------------------------------------------------
CREATE TABLE "webhook" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  -- Null: events of the whole cluster.
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "url" TEXT NOT NULL CHECK (length("url") <= 2000),
  -- Kinds of events; a star stands for any ending.
  "events" TEXT[] NOT NULL CHECK (cardinality("events") BETWEEN 1 AND 50),
  "description" TEXT NOT NULL DEFAULT '',
  -- Sealed with the installation's secret.
  "secret" BYTEA NOT NULL,
  "enabled" BOOLEAN NOT NULL DEFAULT true,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  -- Not before this: the first of its deliveries failed and waits for another try.
  "retry_at" TIMESTAMPTZ(3),
  "failures" INTEGER NOT NULL DEFAULT 0,
  "last_success_at" TIMESTAMPTZ(3),
  "last_error" TEXT
);
CREATE INDEX "webhook_tenant" ON "webhook" ("tenant_id");

-- The outbox: written by a trigger in the transaction of the event, so there is a delivery if and only if there is the
-- event. Each holds a copy of the event, which may have been swept away when its turn comes.
CREATE TABLE "webhook_delivery" (
  "id" BIGSERIAL PRIMARY KEY,
  "webhook_id" UUID NOT NULL REFERENCES "webhook" ("id") ON DELETE CASCADE,
  "tenant_id" UUID,
  "event_id" BIGINT NOT NULL,
  "kind" TEXT NOT NULL,
  "event" JSONB NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'pending' CHECK ("state" IN ('pending', 'delivered', 'dead')),
  "attempts" INTEGER NOT NULL DEFAULT 0,
  "status" INTEGER,
  "error" TEXT,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),
  "ended_at" TIMESTAMPTZ(3),
  -- Deliveries go out in the order of the events; one is looked at when all before it are settled (see event_settled).
  "written_by" XID8 NOT NULL DEFAULT pg_current_xact_id(),
  UNIQUE ("webhook_id", "event_id"),
  CONSTRAINT "webhook_delivery_ended_when_final" CHECK (("state" = 'pending') = ("ended_at" IS NULL))
);
CREATE INDEX "webhook_delivery_pending" ON "webhook_delivery" ("webhook_id", "event_id") WHERE "state" = 'pending';
CREATE INDEX "webhook_delivery_ended_at" ON "webhook_delivery" ("ended_at") WHERE "ended_at" IS NOT NULL;

CREATE FUNCTION event_to_webhooks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO "webhook_delivery" ("webhook_id", "tenant_id", "event_id", "kind", "event")
  SELECT w."id", w."tenant_id", NEW."id", NEW."kind", jsonb_build_object(
    'id', NEW."id"::text, 'at', to_char(NEW."at" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'kind', NEW."kind",
    'tenant', NEW."tenant", 'drvm', NEW."drvm", 'node', NEW."node", 'text', NEW."text")
  FROM "webhook" w
  WHERE w."enabled" AND (w."tenant_id" IS NULL OR w."tenant_id" = NEW."tenant_id")
    AND EXISTS (
      SELECT FROM unnest(w."events") AS pattern
      WHERE pattern = NEW."kind" OR (right(pattern, 1) = '*' AND starts_with(NEW."kind", left(pattern, -1)))
    );
  RETURN NULL;
END $$;
CREATE TRIGGER "event_to_webhooks" AFTER INSERT ON "event" FOR EACH ROW EXECUTE FUNCTION event_to_webhooks();

-- Alerts -----------------------------------------------------------------------------------------------------------
CREATE TABLE "alert_rule" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "name" TEXT NOT NULL CHECK ("name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  "metric" TEXT NOT NULL,
  -- It fires while the value is above (or below) the threshold, and ends past the threshold for clearing.
  "comparison" TEXT NOT NULL CHECK ("comparison" IN ('above', 'below')),
  "threshold" DOUBLE PRECISION NOT NULL,
  "clear_threshold" DOUBLE PRECISION NOT NULL,
  "for_seconds" INTEGER NOT NULL CHECK ("for_seconds" BETWEEN 0 AND 604800),
  "severity" TEXT NOT NULL CHECK ("severity" IN ('info', 'warning', 'critical')),
  -- Null: whatever the rule's tenant (or the cluster) has of that kind.
  "subject" TEXT,
  "mail_to" TEXT[] NOT NULL DEFAULT '{}',
  "webhook_ids" UUID[] NOT NULL DEFAULT '{}',
  "enabled" BOOLEAN NOT NULL DEFAULT true,
  "is_default" BOOLEAN NOT NULL DEFAULT false,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "alert_rule_clears_on_its_side" CHECK (
    ("comparison" = 'above' AND "clear_threshold" <= "threshold") OR ("comparison" = 'below' AND "clear_threshold" >= "threshold")
  ),
  UNIQUE NULLS NOT DISTINCT ("tenant_id", "name")
);

CREATE TABLE "alert" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "rule_id" UUID NOT NULL REFERENCES "alert_rule" ("id") ON DELETE CASCADE,
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "subject" TEXT NOT NULL,
  "state" TEXT NOT NULL CHECK ("state" IN ('pending', 'firing', 'resolved')),
  "value" DOUBLE PRECISION,
  "since" TIMESTAMPTZ(3) NOT NULL,
  "fired_at" TIMESTAMPTZ(3),
  "resolved_at" TIMESTAMPTZ(3),
  "silenced_until" TIMESTAMPTZ(3),
  "silenced_by" TEXT,
  CONSTRAINT "alert_resolved_when_resolved" CHECK (("state" = 'resolved') = ("resolved_at" IS NOT NULL))
);
CREATE UNIQUE INDEX "alert_one_open" ON "alert" ("rule_id", "subject") WHERE "state" <> 'resolved';
CREATE INDEX "alert_tenant" ON "alert" ("tenant_id", "id");
CREATE INDEX "alert_resolved_at" ON "alert" ("resolved_at") WHERE "resolved_at" IS NOT NULL;

-- Mail that is to go out, written with the alert's change of state.
CREATE TABLE "mail_outbox" (
  "id" BIGSERIAL PRIMARY KEY,
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "recipients" TEXT[] NOT NULL,
  "subject" TEXT NOT NULL,
  "body" TEXT NOT NULL,
  "state" TEXT NOT NULL DEFAULT 'pending' CHECK ("state" IN ('pending', 'sent', 'dead')),
  "attempts" INTEGER NOT NULL DEFAULT 0,
  "retry_at" TIMESTAMPTZ(3),
  "error" TEXT,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "ended_at" TIMESTAMPTZ(3)
);
CREATE INDEX "mail_outbox_pending" ON "mail_outbox" ("id") WHERE "state" = 'pending';

-- Telemetry --------------------------------------------------------------------------------------------------------
-- What is measured: a node, or what a DRVM has on a node. Names and tenant are kept when the thing itself is gone.
CREATE TABLE "telemetry_subject" (
  "id" INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "node_id" UUID NOT NULL,
  "drvm_id" UUID,
  "tenant_id" UUID,
  "node" TEXT NOT NULL,
  "drvm" TEXT,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "last_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  UNIQUE NULLS NOT DISTINCT ("node_id", "drvm_id")
);
CREATE INDEX "telemetry_subject_drvm" ON "telemetry_subject" ("drvm_id");

-- One table a resolution, cut by time: what has run out is dropped as a whole, which leaves nothing to clean up. The
-- finest is not logged: after a crash of the database its minutes are gone, and writing it costs half.
-- cpu in milli-vCPUs, memory in MiB, disk in GiB, network in Mbit/s.
CREATE TABLE "telemetry_1s" (
  "at" TIMESTAMPTZ(0) NOT NULL,
  "subject" INTEGER NOT NULL,
  "cpu" REAL NOT NULL,
  "memory" REAL NOT NULL,
  "disk" REAL NOT NULL,
  "network" REAL NOT NULL,
  "load" REAL NOT NULL,
  "processes" REAL NOT NULL
) PARTITION BY RANGE ("at");
CREATE INDEX "telemetry_1s_subject" ON "telemetry_1s" ("subject", "at");

DO $$
DECLARE
  resolution TEXT;
BEGIN
  FOREACH resolution IN ARRAY ARRAY['10s', '5min', '1h'] LOOP
    EXECUTE format('CREATE TABLE %I (
      "at" TIMESTAMPTZ(0) NOT NULL,
      "subject" INTEGER NOT NULL,
      -- Samples of one second behind the row: the weight of its means.
      "samples" INTEGER NOT NULL,
      "cpu" REAL NOT NULL, "cpu_max" REAL NOT NULL,
      "memory" REAL NOT NULL, "memory_max" REAL NOT NULL,
      "disk" REAL NOT NULL, "disk_max" REAL NOT NULL,
      "network" REAL NOT NULL, "network_max" REAL NOT NULL,
      "load" REAL NOT NULL, "load_max" REAL NOT NULL,
      "processes" REAL NOT NULL, "processes_max" REAL NOT NULL
    ) PARTITION BY RANGE ("at")', 'telemetry_' || resolution);
    EXECUTE format('CREATE INDEX %I ON %I ("subject", "at")', 'telemetry_' || resolution || '_subject', 'telemetry_' || resolution);
  END LOOP;
END $$;

-- Up to where each coarser resolution has been made from the finer one.
CREATE TABLE "telemetry_progress" (
  "resolution" TEXT PRIMARY KEY,
  "upto" TIMESTAMPTZ(0) NOT NULL
);

-- Makes the cuts of a table from `moment` on for the time ahead, and drops those that ended before `keep_from`.
CREATE FUNCTION telemetry_cut(parent TEXT, moment TIMESTAMPTZ, width INTERVAL, ahead INTEGER, keep_from TIMESTAMPTZ, logged BOOLEAN)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  begins TIMESTAMPTZ;
  part TEXT;
BEGIN
  FOR number IN -1 .. ahead LOOP
    begins := date_bin(width, moment, 'epoch'::timestamptz) + number * width;
    part := parent || '_' || extract(epoch FROM begins)::bigint;
    IF to_regclass(quote_ident(part)) IS NULL THEN
      EXECUTE format('CREATE %s TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        CASE WHEN logged THEN '' ELSE 'UNLOGGED' END, part, parent, begins, begins + width);
    END IF;
  END LOOP;
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = quote_ident(parent)::regclass
      AND to_timestamp(substring(c.relname FROM '_(\d+)$')::bigint) + width <= keep_from
  LOOP
    EXECUTE format('DROP TABLE %I', part);
  END LOOP;
END $$;

-- Usage ------------------------------------------------------------------------------------------------------------
-- What a DRVM held on a node, from one change of it to the next. The amounts are exact and so are the times, which are
-- the database's own: its clock set back gives a span of no length and never a negative one.
CREATE TABLE "usage_span" (
  "id" BIGSERIAL PRIMARY KEY,
  "slice_id" UUID NOT NULL,
  "tenant_id" UUID NOT NULL,
  "tenant" TEXT NOT NULL,
  "drvm_id" UUID NOT NULL,
  "drvm" TEXT NOT NULL,
  "node_id" UUID NOT NULL,
  "node" TEXT NOT NULL,
  "cpu_milli" INTEGER NOT NULL,
  "memory_mib" INTEGER NOT NULL,
  "disk_gib" INTEGER NOT NULL,
  "network_mbps" INTEGER NOT NULL,
  "from_at" TIMESTAMPTZ(3) NOT NULL,
  "to_at" TIMESTAMPTZ(3),
  CONSTRAINT "usage_span_forward" CHECK ("to_at" IS NULL OR "to_at" >= "from_at")
);
CREATE UNIQUE INDEX "usage_span_open" ON "usage_span" ("slice_id") WHERE "to_at" IS NULL;
CREATE INDEX "usage_span_tenant" ON "usage_span" ("tenant_id", "from_at");
CREATE INDEX "usage_span_to" ON "usage_span" ("to_at");

CREATE FUNCTION usage_slice_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  moment TIMESTAMPTZ := date_trunc('milliseconds', clock_timestamp());
BEGIN
  IF TG_OP = 'UPDATE' AND (NEW."node_id", NEW."cpu_milli", NEW."memory_mib", NEW."disk_gib", NEW."network_mbps")
    IS NOT DISTINCT FROM (OLD."node_id", OLD."cpu_milli", OLD."memory_mib", OLD."disk_gib", OLD."network_mbps") THEN
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    UPDATE "usage_span" SET "to_at" = greatest("from_at", moment)
      WHERE "slice_id" = OLD."id" AND "to_at" IS NULL RETURNING "to_at" INTO moment;
    moment := coalesce(moment, date_trunc('milliseconds', clock_timestamp()));
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO "usage_span" ("slice_id", "tenant_id", "tenant", "drvm_id", "drvm", "node_id", "node",
      "cpu_milli", "memory_mib", "disk_gib", "network_mbps", "from_at")
    SELECT NEW."id", NEW."tenant_id", t."name", NEW."drvm_id", d."name", NEW."node_id", n."name",
      NEW."cpu_milli", NEW."memory_mib", NEW."disk_gib", NEW."network_mbps", moment
    FROM "tenant" t, "drvm" d, "node" n WHERE t."id" = NEW."tenant_id" AND d."id" = NEW."drvm_id" AND n."id" = NEW."node_id";
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_usage_rows" AFTER INSERT OR DELETE ON "slice"
  FOR EACH ROW EXECUTE FUNCTION usage_slice_changed();
CREATE TRIGGER "slice_usage_amounts" AFTER UPDATE OF "node_id", "cpu_milli", "memory_mib", "disk_gib", "network_mbps" ON "slice"
  FOR EACH ROW EXECUTE FUNCTION usage_slice_changed();
INSERT INTO "usage_span" ("slice_id", "tenant_id", "tenant", "drvm_id", "drvm", "node_id", "node",
  "cpu_milli", "memory_mib", "disk_gib", "network_mbps", "from_at")
SELECT s."id", s."tenant_id", t."name", s."drvm_id", d."name", s."node_id", n."name",
  s."cpu_milli", s."memory_mib", s."disk_gib", s."network_mbps", now()
FROM "slice" s JOIN "tenant" t ON t."id" = s."tenant_id" JOIN "drvm" d ON d."id" = s."drvm_id" JOIN "node" n ON n."id" = s."node_id";

-- The counters of a container as they were read last: what is used is the difference to the reading before.
CREATE TABLE "usage_counter" (
  "drvm_id" UUID NOT NULL,
  "node_id" UUID NOT NULL,
  "at" TIMESTAMPTZ(3) NOT NULL,
  "cpu_ms" DOUBLE PRECISION NOT NULL,
  "read_bytes" DOUBLE PRECISION NOT NULL,
  "written_bytes" DOUBLE PRECISION NOT NULL,
  "io_operations" DOUBLE PRECISION NOT NULL,
  "received_bytes" DOUBLE PRECISION NOT NULL,
  "sent_bytes" DOUBLE PRECISION NOT NULL,
  PRIMARY KEY ("drvm_id", "node_id")
);
-- What was measured, summed by the hour.
CREATE TABLE "usage_measured" (
  "drvm_id" UUID NOT NULL,
  "node_id" UUID NOT NULL,
  "hour" TIMESTAMPTZ(0) NOT NULL,
  "tenant_id" UUID NOT NULL,
  "tenant" TEXT NOT NULL,
  "drvm" TEXT NOT NULL,
  "node" TEXT NOT NULL,
  "cpu_ms" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "memory_mib_ms" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "read_bytes" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "written_bytes" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "io_operations" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "received_bytes" DOUBLE PRECISION NOT NULL DEFAULT 0,
  "sent_bytes" DOUBLE PRECISION NOT NULL DEFAULT 0,
  PRIMARY KEY ("drvm_id", "node_id", "hour")
);
CREATE INDEX "usage_measured_hour" ON "usage_measured" ("hour");

-- Who may see what --------------------------------------------------------------------------------------------------
GRANT SELECT, INSERT, UPDATE, DELETE ON "webhook", "alert_rule", "alert" TO drvs_app;
GRANT SELECT, INSERT, UPDATE ON "webhook_delivery" TO drvs_app;
GRANT USAGE ON SEQUENCE "webhook_delivery_id_seq" TO drvs_app;
GRANT SELECT ON "telemetry_subject", "usage_span", "usage_measured" TO drvs_app;
DO $$
DECLARE
  owned TEXT;
BEGIN
  FOREACH owned IN ARRAY ARRAY['webhook', 'webhook_delivery', 'alert_rule', 'alert'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY "read_own" ON %I FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant())', owned);
    EXECUTE format('CREATE POLICY "insert_own" ON %I FOR INSERT TO drvs_app WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "update_own" ON %I FOR UPDATE TO drvs_app USING (app_may_write("tenant_id")) WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "delete_own" ON %I FOR DELETE TO drvs_app USING (app_may_write("tenant_id"))', owned);
  END LOOP;
  FOREACH owned IN ARRAY ARRAY['telemetry_subject', 'usage_span', 'usage_measured'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY "read_own" ON %I FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant())', owned);
  END LOOP;
END $$;
