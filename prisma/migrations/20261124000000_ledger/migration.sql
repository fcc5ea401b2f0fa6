-- The first ledger: tenants, people, nodes, what each node offers, what each DRVM holds, operations, events, audit.
-- The database itself refuses to give a unit of a resource twice, and hides from a tenant what is not its own.

-- Transactions made for a person or a token run under this role (SET LOCAL ROLE), since row-level security does not
-- bind owners and superusers. It cannot log in.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'drvs_app') THEN
    CREATE ROLE drvs_app NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server made it at the same moment
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role drvs_app is missing and % may not create it', current_user
      USING HINT = 'As a superuser: CREATE ROLE drvs_app NOLOGIN; GRANT drvs_app TO ' || quote_ident(current_user) || ';';
END $$;

-- From PostgreSQL 16 on, whoever makes a role may grant it and still not take it on.
DO $$
BEGIN
  IF NOT pg_has_role(
    current_user, 'drvs_app', CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
  ) THEN
    EXECUTE format('GRANT drvs_app TO %I', current_user);
  END IF;
END $$;

CREATE TYPE "resource_class" AS ENUM ('cpuMilli', 'memoryMiB', 'diskGiB', 'networkMbps');
CREATE TYPE "node_wanted_state" AS ENUM ('active', 'drained', 'off');
CREATE TYPE "drvm_state" AS ENUM ('creating', 'running', 'stopped', 'degraded', 'failed');
CREATE TYPE "drvm_wanted_state" AS ENUM ('running', 'stopped');
CREATE TYPE "operation_state" AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'compensated');
CREATE TYPE "step_state" AS ENUM ('pending', 'running', 'succeeded', 'failed', 'skipped', 'compensated');

CREATE TABLE "tenant" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "name" TEXT NOT NULL UNIQUE CHECK ("name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  "quota_cpu_milli" INTEGER CHECK ("quota_cpu_milli" >= 0),
  "quota_memory_mib" INTEGER CHECK ("quota_memory_mib" >= 0),
  "quota_disk_gib" INTEGER CHECK ("quota_disk_gib" >= 0),
  "quota_network_mbps" INTEGER CHECK ("quota_network_mbps" >= 0),
  "generation" INTEGER NOT NULL DEFAULT 1,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now()
);

CREATE TABLE "app_user" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "name" TEXT NOT NULL UNIQUE CHECK ("name" ~ '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$'),
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE RESTRICT,
  "role" TEXT NOT NULL,
  "password_hash" TEXT NOT NULL,
  "generation" INTEGER NOT NULL DEFAULT 1,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  CONSTRAINT "app_user_tenant_fits_role" CHECK (
    ("role" = 'supra-admin' AND "tenant_id" IS NULL)
    OR ("role" IN ('tenant-admin', 'member') AND "tenant_id" IS NOT NULL)
    OR "role" = 'auditor'
  )
);
CREATE INDEX "app_user_tenant" ON "app_user" ("tenant_id");

CREATE TABLE "session" (
  "hash" TEXT PRIMARY KEY,
  "user_id" UUID NOT NULL REFERENCES "app_user" ("id") ON DELETE CASCADE,
  "csrf_token" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expires_at" TIMESTAMPTZ(3) NOT NULL
);
CREATE INDEX "session_expires_at" ON "session" ("expires_at");
CREATE INDEX "session_user" ON "session" ("user_id");

CREATE TABLE "api_token" (
  "id" TEXT PRIMARY KEY,
  "hash" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "role" TEXT NOT NULL,
  "created_by_id" UUID REFERENCES "app_user" ("id") ON DELETE CASCADE,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expires_at" TIMESTAMPTZ(3),
  "revoked_at" TIMESTAMPTZ(3),
  "last_used_at" TIMESTAMPTZ(3),
  CONSTRAINT "api_token_tenant_fits_role" CHECK (
    ("role" = 'supra-admin' AND "tenant_id" IS NULL)
    OR ("role" IN ('tenant-admin', 'member') AND "tenant_id" IS NOT NULL)
    OR "role" = 'auditor'
  )
);
CREATE INDEX "api_token_tenant" ON "api_token" ("tenant_id");

CREATE TABLE "node" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "name" TEXT NOT NULL UNIQUE CHECK ("name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  "credential_hash" TEXT NOT NULL UNIQUE,
  "inventory" JSONB NOT NULL,
  "wanted_state" "node_wanted_state" NOT NULL DEFAULT 'active',
  "agent_version" TEXT NOT NULL,
  "used" JSONB NOT NULL DEFAULT '{"cpuMilli":0,"memoryMiB":0,"diskGiB":0,"networkMbps":0}',
  "labels" JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof("labels") = 'object'),
  "last_seen_at" TIMESTAMPTZ(3),
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "generation" INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE "enrolment_token" (
  "hash" TEXT PRIMARY KEY,
  "created_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "expires_at" TIMESTAMPTZ(3) NOT NULL,
  "used_at" TIMESTAMPTZ(3),
  "node_id" UUID REFERENCES "node" ("id") ON DELETE SET NULL
);

CREATE TABLE "inventory" (
  "node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE CASCADE,
  "class" "resource_class" NOT NULL,
  "total" INTEGER NOT NULL CHECK ("total" >= 0),
  "reserved" INTEGER NOT NULL DEFAULT 0 CHECK ("reserved" >= 0),
  "used" INTEGER NOT NULL DEFAULT 0 CHECK ("used" >= 0),
  "allocation_ratio" DOUBLE PRECISION NOT NULL DEFAULT 1 CHECK ("allocation_ratio" > 0 AND "allocation_ratio" <= 64),
  "step" INTEGER NOT NULL DEFAULT 1 CHECK ("step" >= 1),
  "generation" INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY ("node_id", "class")
);

CREATE TABLE "drvm" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE RESTRICT,
  "name" TEXT NOT NULL CHECK ("name" ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  "dvos" TEXT NOT NULL DEFAULT 'mol',
  "state" "drvm_state" NOT NULL DEFAULT 'creating',
  "wanted_state" "drvm_wanted_state" NOT NULL DEFAULT 'running',
  "detail" TEXT NOT NULL DEFAULT '',
  "request" JSONB NOT NULL DEFAULT '{}',
  "authority_certificate" TEXT,
  "authority_key" BYTEA,
  "generation" INTEGER NOT NULL DEFAULT 1,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  UNIQUE ("tenant_id", "name"),
  UNIQUE ("id", "tenant_id")
);

CREATE TABLE "slice" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "drvm_id" UUID NOT NULL,
  "tenant_id" UUID NOT NULL REFERENCES "tenant" ("id") ON DELETE RESTRICT,
  "node_id" UUID NOT NULL REFERENCES "node" ("id") ON DELETE RESTRICT,
  "slice_index" INTEGER NOT NULL CHECK ("slice_index" BETWEEN 0 AND 1023),
  "cpu_milli" INTEGER NOT NULL CHECK ("cpu_milli" >= 50),
  "memory_mib" INTEGER NOT NULL CHECK ("memory_mib" >= 192),
  "disk_gib" INTEGER NOT NULL CHECK ("disk_gib" >= 0),
  "network_mbps" INTEGER NOT NULL CHECK ("network_mbps" >= 0),
  "exclusive" BOOLEAN NOT NULL DEFAULT false,
  "host" TEXT,
  "port" INTEGER CHECK ("port" BETWEEN 1 AND 65535),
  "certificate" TEXT,
  "container_state" TEXT NOT NULL DEFAULT 'absent'
    CHECK ("container_state" IN ('absent', 'starting', 'running', 'degraded', 'stopped', 'failed')),
  "isolation" TEXT NOT NULL DEFAULT '',
  "used_cpu_milli" INTEGER NOT NULL DEFAULT 0,
  "used_memory_mib" INTEGER NOT NULL DEFAULT 0,
  "processes" INTEGER NOT NULL DEFAULT 0,
  -- A slice's tenant is its DRVM's: row-level security can then judge a slice by itself.
  FOREIGN KEY ("drvm_id", "tenant_id") REFERENCES "drvm" ("id", "tenant_id") ON DELETE CASCADE,
  UNIQUE ("drvm_id", "slice_index"),
  UNIQUE ("drvm_id", "node_id")
);
CREATE INDEX "slice_node" ON "slice" ("node_id");
CREATE INDEX "slice_tenant" ON "slice" ("tenant_id");
-- A node is exclusive to one DRVM at most.
CREATE UNIQUE INDEX "slice_exclusive_node" ON "slice" ("node_id") WHERE "exclusive";

CREATE TABLE "operation" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "kind" TEXT NOT NULL,
  "state" "operation_state" NOT NULL DEFAULT 'queued',
  "progress" DOUBLE PRECISION NOT NULL DEFAULT 0 CHECK ("progress" BETWEEN 0 AND 1),
  "subject" TEXT NOT NULL,
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE SET NULL,
  "drvm_id" UUID REFERENCES "drvm" ("id") ON DELETE SET NULL,
  "params" JSONB NOT NULL DEFAULT '{}',
  "result" JSONB,
  "error" JSONB,
  "requested_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "started_at" TIMESTAMPTZ(3),
  "ended_at" TIMESTAMPTZ(3),
  "cancel_requested_at" TIMESTAMPTZ(3),
  CONSTRAINT "operation_ended_when_final" CHECK (("state" IN ('queued', 'running')) = ("ended_at" IS NULL))
);
CREATE INDEX "operation_drvm" ON "operation" ("drvm_id");
CREATE INDEX "operation_tenant" ON "operation" ("tenant_id");
CREATE INDEX "operation_active" ON "operation" ("id") WHERE "state" IN ('queued', 'running');
-- One change of a DRVM at a time, and one migration of a process at a time.
CREATE UNIQUE INDEX "operation_one_per_drvm" ON "operation" ("drvm_id")
  WHERE "state" IN ('queued', 'running') AND "kind" LIKE 'drvm.%';
CREATE UNIQUE INDEX "operation_one_migration_per_process" ON "operation" ("drvm_id", ("params" ->> 'pid'))
  WHERE "state" IN ('queued', 'running') AND "kind" = 'process.migrate';

CREATE TABLE "operation_step" (
  "operation_id" UUID NOT NULL REFERENCES "operation" ("id") ON DELETE CASCADE,
  "position" INTEGER NOT NULL CHECK ("position" >= 0),
  "name" TEXT NOT NULL,
  "state" "step_state" NOT NULL DEFAULT 'pending',
  "started_at" TIMESTAMPTZ(3),
  "ended_at" TIMESTAMPTZ(3),
  "error" TEXT,
  "attempts" INTEGER NOT NULL DEFAULT 0,
  "output" JSONB,
  PRIMARY KEY ("operation_id", "position")
);

CREATE TABLE "event" (
  "id" BIGSERIAL PRIMARY KEY,
  "at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "kind" TEXT NOT NULL,
  "tenant_id" UUID,
  "tenant" TEXT,
  "drvm_id" UUID,
  "drvm" TEXT,
  "node_id" UUID,
  "node" TEXT,
  "text" TEXT NOT NULL,
  -- Transactions commit in another order than they took their numbers: a reader that goes on from the last number it
  -- saw reads only what was written by transactions older than any under way (see the function event_settled).
  "written_by" XID8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX "event_tenant" ON "event" ("tenant_id", "id");

CREATE TABLE "audit_entry" (
  "id" BIGINT PRIMARY KEY,
  "at" TIMESTAMPTZ(6) NOT NULL,
  "actor" TEXT NOT NULL,
  "action" TEXT NOT NULL,
  "object" TEXT NOT NULL,
  "tenant_id" UUID,
  "tenant" TEXT,
  "details" JSONB NOT NULL,
  "previous_hash" TEXT NOT NULL,
  "hash" TEXT NOT NULL UNIQUE
);
CREATE INDEX "audit_entry_tenant" ON "audit_entry" ("tenant_id", "id");

CREATE TABLE "idempotency_key" (
  "actor" TEXT NOT NULL,
  "key" TEXT NOT NULL,
  "request_hash" TEXT NOT NULL,
  "status" INTEGER,
  "answer" BYTEA,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("actor", "key")
);
CREATE INDEX "idempotency_key_created_at" ON "idempotency_key" ("created_at");

CREATE TABLE "setting" (
  "key" TEXT PRIMARY KEY,
  "value" JSONB NOT NULL
);

-- The ledger's rule. SQLSTATE DR001: capacity exceeded; DR002: exclusivity violated; DR003: written past the rule.
-- A change that does not worsen an over-full class is let through, so that one can always shrink or move away after a
-- node has lost hardware.
CREATE FUNCTION ledger_give(give_node UUID, give_class "resource_class", delta INTEGER) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  row_now "inventory"%ROWTYPE;
BEGIN
  IF delta = 0 THEN RETURN; END IF;
  UPDATE "inventory" SET "used" = "used" + delta, "generation" = "generation" + 1
    WHERE "node_id" = give_node AND "class" = give_class
      AND (delta < 0 OR "used" + delta <= floor(("total" - "reserved") * "allocation_ratio"));
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO row_now FROM "inventory" WHERE "node_id" = give_node AND "class" = give_class;
  RAISE EXCEPTION 'node % cannot give % more of %: % of % are given',
    give_node, delta, give_class, coalesce(row_now."used", 0), floor((coalesce(row_now."total", 0) - coalesce(row_now."reserved", 0)) * coalesce(row_now."allocation_ratio", 1))
    USING ERRCODE = 'DR001';
END $$;

CREATE FUNCTION ledger_slice_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NEW."node_id" <> OLD."node_id" THEN
    RAISE EXCEPTION 'a slice stays on its node' USING ERRCODE = 'DR003';
  END IF;
  IF TG_OP <> 'DELETE' THEN
    -- One lock per node orders all that is given of it, whatever the class.
    PERFORM 1 FROM "inventory" WHERE "node_id" = NEW."node_id" ORDER BY "class" FOR UPDATE;
    IF EXISTS (
      SELECT FROM "slice" s WHERE s."node_id" = NEW."node_id" AND s."drvm_id" <> NEW."drvm_id"
        AND (s."exclusive" OR NEW."exclusive")
    ) THEN
      RAISE EXCEPTION 'node % is exclusive to a DRVM, or cannot become so', NEW."node_id" USING ERRCODE = 'DR002';
    END IF;
  END IF;
  IF TG_OP = 'INSERT' THEN
    PERFORM ledger_give(NEW."node_id", 'cpuMilli', NEW."cpu_milli");
    PERFORM ledger_give(NEW."node_id", 'memoryMiB', NEW."memory_mib");
    PERFORM ledger_give(NEW."node_id", 'diskGiB', NEW."disk_gib");
    PERFORM ledger_give(NEW."node_id", 'networkMbps', NEW."network_mbps");
  ELSIF TG_OP = 'UPDATE' THEN
    PERFORM ledger_give(NEW."node_id", 'cpuMilli', NEW."cpu_milli" - OLD."cpu_milli");
    PERFORM ledger_give(NEW."node_id", 'memoryMiB', NEW."memory_mib" - OLD."memory_mib");
    PERFORM ledger_give(NEW."node_id", 'diskGiB', NEW."disk_gib" - OLD."disk_gib");
    PERFORM ledger_give(NEW."node_id", 'networkMbps', NEW."network_mbps" - OLD."network_mbps");
  ELSE
    PERFORM ledger_give(OLD."node_id", 'cpuMilli', -OLD."cpu_milli");
    PERFORM ledger_give(OLD."node_id", 'memoryMiB', -OLD."memory_mib");
    PERFORM ledger_give(OLD."node_id", 'diskGiB', -OLD."disk_gib");
    PERFORM ledger_give(OLD."node_id", 'networkMbps', -OLD."network_mbps");
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_ledger_rows" AFTER INSERT OR DELETE ON "slice"
  FOR EACH ROW EXECUTE FUNCTION ledger_slice_changed();
-- Heartbeats change a slice's measured columns often: only what is given takes the node's lock.
CREATE TRIGGER "slice_ledger_amounts"
  AFTER UPDATE OF "node_id", "cpu_milli", "memory_mib", "disk_gib", "network_mbps", "exclusive" ON "slice"
  FOR EACH ROW EXECUTE FUNCTION ledger_slice_changed();

CREATE FUNCTION ledger_guard_used() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW."used" <> 0 THEN
      RAISE EXCEPTION 'a new inventory has given nothing yet' USING ERRCODE = 'DR003';
    END IF;
  ELSIF NEW."used" <> OLD."used" AND pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION 'what a node has given follows from its slices and is not set by hand' USING ERRCODE = 'DR003';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER "inventory_guard_used" BEFORE INSERT OR UPDATE ON "inventory"
  FOR EACH ROW EXECUTE FUNCTION ledger_guard_used();

-- Readers that follow the events: what is below this transaction number is complete.
CREATE FUNCTION event_settled() RETURNS XID8 LANGUAGE sql STABLE AS $$
  SELECT pg_snapshot_xmin(pg_current_snapshot())
$$;

CREATE FUNCTION announce_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('drvs_event', NEW."id"::text);
  RETURN NULL;
END $$;
CREATE TRIGGER "event_announced" AFTER INSERT ON "event" FOR EACH ROW EXECUTE FUNCTION announce_event();

CREATE FUNCTION announce_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('drvs_operation', NEW."id"::text);
  RETURN NULL;
END $$;
CREATE TRIGGER "operation_announced" AFTER INSERT OR UPDATE ON "operation"
  FOR EACH ROW EXECUTE FUNCTION announce_operation();

CREATE FUNCTION announce_operation_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('drvs_operation', NEW."operation_id"::text);
  RETURN NULL;
END $$;
CREATE TRIGGER "operation_step_announced" AFTER UPDATE ON "operation_step"
  FOR EACH ROW EXECUTE FUNCTION announce_operation_step();

-- The audit chain. hash = SHA-256 of the previous hash and of every field, each preceded by its length.
CREATE FUNCTION audit_hash(
  previous_hash TEXT, id BIGINT, at TIMESTAMPTZ, actor TEXT, action TEXT, object TEXT, tenant_id UUID, tenant TEXT, details JSONB
) RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(string_agg(octet_length(part) || ':' || part, '' ORDER BY position), 'UTF8')), 'hex')
  FROM unnest(ARRAY[
    previous_hash, id::text, (extract(epoch FROM at) * 1000000)::bigint::text, actor, action, object,
    coalesce(tenant_id::text, ''), coalesce(tenant, ''), details::text
  ]) WITH ORDINALITY AS parts (part, position)
$$;

CREATE FUNCTION audit_append(
  entry_actor TEXT, entry_action TEXT, entry_object TEXT, entry_tenant UUID, entry_details JSONB
) RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  last_id BIGINT;
  last_hash TEXT;
  tenant_name TEXT;
  moment TIMESTAMPTZ;
BEGIN
  -- Held to the end of the transaction: entries are numbered in the order in which they become true.
  PERFORM pg_advisory_xact_lock(hashtext('drvs.audit'), hashtext(current_schema()));
  SELECT "id", "hash" INTO last_id, last_hash FROM "audit_entry" ORDER BY "id" DESC LIMIT 1;
  last_id := coalesce(last_id, 0) + 1;
  last_hash := coalesce(last_hash, repeat('0', 64));
  SELECT "name" INTO tenant_name FROM "tenant" WHERE "id" = entry_tenant;
  moment := clock_timestamp();
  INSERT INTO "audit_entry" VALUES (
    last_id, moment, entry_actor, entry_action, entry_object, entry_tenant, tenant_name, entry_details, last_hash,
    audit_hash(last_hash, last_id, moment, entry_actor, entry_action, entry_object, entry_tenant, tenant_name, entry_details)
  );
  RETURN last_id;
END $$;

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit entries are neither changed nor removed' USING ERRCODE = 'DR003';
END $$;
CREATE TRIGGER "audit_entry_kept" BEFORE UPDATE OR DELETE ON "audit_entry"
  FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER "audit_entry_not_emptied" BEFORE TRUNCATE ON "audit_entry"
  FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- Row-level security. `app.role` and `app.tenant` are set for the transaction; unset, nothing is seen.
CREATE FUNCTION app_tenant() RETURNS UUID LANGUAGE sql STABLE AS $$
  SELECT nullif(current_setting('app.tenant', true), '')::uuid
$$;
CREATE FUNCTION app_sees_all() RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
  SELECT coalesce(current_setting('app.role', true) IN ('supra-admin', 'auditor')
    AND coalesce(current_setting('app.tenant', true), '') = '', false)
$$;
CREATE FUNCTION app_may_write(owner UUID) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
  SELECT coalesce(current_setting('app.role', true) = 'supra-admin'
    OR (current_setting('app.role', true) IN ('tenant-admin', 'member') AND owner = app_tenant()), false)
$$;

GRANT USAGE ON SCHEMA public TO drvs_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  "tenant", "app_user", "session", "api_token", "enrolment_token", "node", "drvm", "slice", "operation",
  "operation_step" TO drvs_app;
GRANT SELECT, INSERT ON "event" TO drvs_app;
GRANT USAGE ON SEQUENCE "event_id_seq" TO drvs_app;
GRANT SELECT ON "inventory", "audit_entry", "setting" TO drvs_app;

ALTER TABLE "tenant" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own" ON "tenant" FOR SELECT TO drvs_app USING (app_sees_all() OR "id" = app_tenant());
CREATE POLICY "supra_admin" ON "tenant" TO drvs_app
  USING (current_setting('app.role', true) = 'supra-admin') WITH CHECK (current_setting('app.role', true) = 'supra-admin');

DO $$
DECLARE
  owned TEXT;
BEGIN
  FOREACH owned IN ARRAY ARRAY['app_user', 'api_token', 'drvm', 'slice', 'operation', 'event'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY "read_own" ON %I FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant())', owned);
    EXECUTE format('CREATE POLICY "insert_own" ON %I FOR INSERT TO drvs_app WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "update_own" ON %I FOR UPDATE TO drvs_app USING (app_may_write("tenant_id")) WITH CHECK (app_may_write("tenant_id"))', owned);
    EXECUTE format('CREATE POLICY "delete_own" ON %I FOR DELETE TO drvs_app USING (app_may_write("tenant_id"))', owned);
  END LOOP;
END $$;

ALTER TABLE "audit_entry" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_own" ON "audit_entry" FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant());

ALTER TABLE "operation_step" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "as_its_operation" ON "operation_step" TO drvs_app
  USING (EXISTS (SELECT FROM "operation" o WHERE o."id" = "operation_id"))
  WITH CHECK (EXISTS (SELECT FROM "operation" o WHERE o."id" = "operation_id" AND app_may_write(o."tenant_id")));

ALTER TABLE "session" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "as_its_user" ON "session" TO drvs_app
  USING (EXISTS (SELECT FROM "app_user" u WHERE u."id" = "user_id" AND app_may_write(u."tenant_id")));

-- A tenant sees the nodes that hold something of its own.
ALTER TABLE "node" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_where_present" ON "node" FOR SELECT TO drvs_app
  USING (app_sees_all() OR EXISTS (SELECT FROM "slice" s WHERE s."node_id" = "node"."id" AND s."tenant_id" = app_tenant()));
CREATE POLICY "supra_admin" ON "node" TO drvs_app
  USING (current_setting('app.role', true) = 'supra-admin') WITH CHECK (current_setting('app.role', true) = 'supra-admin');
ALTER TABLE "inventory" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_all" ON "inventory" FOR SELECT TO drvs_app USING (app_sees_all());
ALTER TABLE "enrolment_token" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "supra_admin" ON "enrolment_token" TO drvs_app
  USING (current_setting('app.role', true) = 'supra-admin') WITH CHECK (current_setting('app.role', true) = 'supra-admin');
