-- A running DRVM grows, shrinks and moves, and what it does not need is lent. For this a slice has, besides what it is
-- guaranteed, a ceiling up to which it may borrow and what it holds now; and the database refuses to let more be held
-- of a node than the node has, as it refuses to guarantee more.

ALTER TABLE "drvm"
  ADD COLUMN "home_index" INTEGER NOT NULL DEFAULT 0 CHECK ("home_index" BETWEEN 0 AND 1023),
  -- Grows each time that the home moves: of two containers that say they are it, the one of the higher epoch is.
  ADD COLUMN "home_epoch" INTEGER NOT NULL DEFAULT 0 CHECK ("home_epoch" >= 0),
  -- The index of the slice that comes next; indexes are not given again while others are left.
  ADD COLUMN "next_slice_index" INTEGER NOT NULL DEFAULT 0;

-- Grows with each change of what a container is to run under. One sequence for all: what is made anew on a node is
-- newer than whatever an agent that was away has kept there.
CREATE SEQUENCE "slice_spec_generation" AS BIGINT;
SELECT setval('"slice_spec_generation"', 1 + (SELECT coalesce(max("generation"), 0) FROM "drvm"));

ALTER TABLE "slice"
  ADD COLUMN "ceiling_cpu_milli" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "ceiling_memory_mib" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "ceiling_disk_gib" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "ceiling_network_mbps" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "held_cpu_milli" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "held_memory_mib" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "held_disk_gib" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "held_network_mbps" INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN "held_since" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  ADD COLUMN "spec_generation" BIGINT NOT NULL DEFAULT nextval('"slice_spec_generation"'),
  -- Of the specification that the node's agent said last it runs the container under.
  ADD COLUMN "applied_generation" BIGINT NOT NULL DEFAULT 0,
  -- On its way out of the DRVM: it still counts in the ledger, and is no peer any more.
  ADD COLUMN "leaving" BOOLEAN NOT NULL DEFAULT false,
  -- Follows from the DRVM's home_index.
  ADD COLUMN "is_home" BOOLEAN NOT NULL DEFAULT false;
ALTER SEQUENCE "slice_spec_generation" OWNED BY "slice"."spec_generation";
ALTER TABLE "inventory" ADD COLUMN "held" INTEGER NOT NULL DEFAULT 0 CHECK ("held" >= 0);

UPDATE "slice" SET
  "ceiling_cpu_milli" = "cpu_milli", "held_cpu_milli" = "cpu_milli",
  "ceiling_memory_mib" = "memory_mib", "held_memory_mib" = "memory_mib",
  "ceiling_disk_gib" = "disk_gib", "held_disk_gib" = "disk_gib",
  "ceiling_network_mbps" = "network_mbps", "held_network_mbps" = "network_mbps",
  "is_home" = ("slice_index" = 0);
UPDATE "inventory" SET "held" = "used";

-- CPU and network can be taken back at once, so an idle owner may hold less of them than it is guaranteed; memory and
-- disk that somebody else has filled could not be given back to it.
ALTER TABLE "slice"
  ADD CONSTRAINT "slice_ceiling_covers_guarantee" CHECK (
    "ceiling_cpu_milli" >= "cpu_milli" AND "ceiling_memory_mib" >= "memory_mib"
    AND "ceiling_disk_gib" >= "disk_gib" AND "ceiling_network_mbps" >= "network_mbps"),
  ADD CONSTRAINT "slice_held_within_ceiling" CHECK (
    "held_cpu_milli" BETWEEN 50 AND "ceiling_cpu_milli"
    AND "held_memory_mib" BETWEEN "memory_mib" AND "ceiling_memory_mib"
    AND "held_disk_gib" BETWEEN "disk_gib" AND "ceiling_disk_gib"
    AND "held_network_mbps" BETWEEN 0 AND "ceiling_network_mbps");

-- What follows from what was written: a new slice holds what it is guaranteed; a changed guarantee takes the ceiling
-- and what is held with it unless these are written too; a changed limit needs a new specification.
CREATE FUNCTION slice_terms() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW."is_home" := NEW."slice_index" = (SELECT "home_index" FROM "drvm" WHERE "id" = NEW."drvm_id");
    NEW."ceiling_cpu_milli" := greatest(NEW."ceiling_cpu_milli", NEW."cpu_milli");
    NEW."ceiling_memory_mib" := greatest(NEW."ceiling_memory_mib", NEW."memory_mib");
    NEW."ceiling_disk_gib" := greatest(NEW."ceiling_disk_gib", NEW."disk_gib");
    NEW."ceiling_network_mbps" := greatest(NEW."ceiling_network_mbps", NEW."network_mbps");
    NEW."held_cpu_milli" := greatest(NEW."held_cpu_milli", NEW."cpu_milli");
    NEW."held_memory_mib" := greatest(NEW."held_memory_mib", NEW."memory_mib");
    NEW."held_disk_gib" := greatest(NEW."held_disk_gib", NEW."disk_gib");
    NEW."held_network_mbps" := greatest(NEW."held_network_mbps", NEW."network_mbps");
    RETURN NEW;
  END IF;
  NEW."ceiling_cpu_milli" := slice_ceiling_after(OLD."cpu_milli", NEW."cpu_milli", OLD."ceiling_cpu_milli", NEW."ceiling_cpu_milli");
  NEW."ceiling_memory_mib" := slice_ceiling_after(OLD."memory_mib", NEW."memory_mib", OLD."ceiling_memory_mib", NEW."ceiling_memory_mib");
  NEW."ceiling_disk_gib" := slice_ceiling_after(OLD."disk_gib", NEW."disk_gib", OLD."ceiling_disk_gib", NEW."ceiling_disk_gib");
  NEW."ceiling_network_mbps" := slice_ceiling_after(OLD."network_mbps", NEW."network_mbps", OLD."ceiling_network_mbps", NEW."ceiling_network_mbps");
  NEW."held_cpu_milli" := slice_held_after(OLD."cpu_milli", NEW."cpu_milli", OLD."held_cpu_milli", NEW."held_cpu_milli", NEW."ceiling_cpu_milli", 50);
  NEW."held_memory_mib" := slice_held_after(OLD."memory_mib", NEW."memory_mib", OLD."held_memory_mib", NEW."held_memory_mib", NEW."ceiling_memory_mib", NEW."memory_mib");
  NEW."held_disk_gib" := slice_held_after(OLD."disk_gib", NEW."disk_gib", OLD."held_disk_gib", NEW."held_disk_gib", NEW."ceiling_disk_gib", NEW."disk_gib");
  NEW."held_network_mbps" := slice_held_after(OLD."network_mbps", NEW."network_mbps", OLD."held_network_mbps", NEW."held_network_mbps", NEW."ceiling_network_mbps", 0);
  IF (NEW."held_cpu_milli", NEW."held_memory_mib", NEW."held_disk_gib", NEW."held_network_mbps")
    IS DISTINCT FROM (OLD."held_cpu_milli", OLD."held_memory_mib", OLD."held_disk_gib", OLD."held_network_mbps") THEN
    NEW."held_since" := now();
    NEW."spec_generation" := nextval('"slice_spec_generation"');
  ELSIF (NEW."host", NEW."port", NEW."certificate") IS DISTINCT FROM (OLD."host", OLD."port", OLD."certificate") THEN
    NEW."spec_generation" := nextval('"slice_spec_generation"');
  END IF;
  RETURN NEW;
END $$;
CREATE FUNCTION slice_ceiling_after(given_before INTEGER, given INTEGER, ceiling_before INTEGER, ceiling INTEGER)
RETURNS INTEGER LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN ceiling <> ceiling_before OR given = given_before THEN ceiling
    WHEN ceiling_before = given_before THEN given
    ELSE greatest(ceiling, given)
  END
$$;
CREATE FUNCTION slice_held_after(
  given_before INTEGER, given INTEGER, held_before INTEGER, held INTEGER, ceiling INTEGER, least_held INTEGER
) RETURNS INTEGER LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN held <> held_before THEN held
    ELSE least(ceiling, greatest(least_held, held_before + given - given_before))
  END
$$;
CREATE TRIGGER "slice_terms_follow" BEFORE INSERT OR UPDATE OF
  "cpu_milli", "memory_mib", "disk_gib", "network_mbps",
  "ceiling_cpu_milli", "ceiling_memory_mib", "ceiling_disk_gib", "ceiling_network_mbps",
  "held_cpu_milli", "held_memory_mib", "held_disk_gib", "held_network_mbps", "host", "port", "certificate" ON "slice"
  FOR EACH ROW EXECUTE FUNCTION slice_terms();

CREATE FUNCTION drvm_home_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE "slice" SET "is_home" = ("slice_index" = NEW."home_index") WHERE "drvm_id" = NEW."id";
  RETURN NULL;
END $$;
CREATE TRIGGER "drvm_home_is_marked" AFTER UPDATE OF "home_index" ON "drvm"
  FOR EACH ROW EXECUTE FUNCTION drvm_home_moved();

-- SQLSTATE DR001 as for guarantees. A change that does not worsen an over-full class is let through.
CREATE FUNCTION ledger_hold(hold_node UUID, hold_class "resource_class", delta INTEGER) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  row_now "inventory"%ROWTYPE;
BEGIN
  IF delta = 0 THEN RETURN; END IF;
  UPDATE "inventory" SET "held" = "held" + delta
    WHERE "node_id" = hold_node AND "class" = hold_class
      AND (delta < 0 OR "held" + delta <= floor(("total" - "reserved") * "allocation_ratio"));
  IF FOUND THEN RETURN; END IF;
  SELECT * INTO row_now FROM "inventory" WHERE "node_id" = hold_node AND "class" = hold_class;
  RAISE EXCEPTION 'node % cannot let % more of % be held: % of % are held',
    hold_node, delta, hold_class, coalesce(row_now."held", 0), floor((coalesce(row_now."total", 0) - coalesce(row_now."reserved", 0)) * coalesce(row_now."allocation_ratio", 1))
    USING ERRCODE = 'DR001';
END $$;

-- Runs after the triggers of the ledger (in order of their names), which have locked the node's inventories. A new or
-- grown guarantee comes before loans of CPU and network: those that stand in its way end in the same transaction.
CREATE FUNCTION ledger_slice_held() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  before "slice"%ROWTYPE;
  gained BOOLEAN := false;
BEGIN
  IF TG_OP = 'DELETE' THEN
    PERFORM ledger_hold(OLD."node_id", 'cpuMilli', -OLD."held_cpu_milli");
    PERFORM ledger_hold(OLD."node_id", 'memoryMiB', -OLD."held_memory_mib");
    PERFORM ledger_hold(OLD."node_id", 'diskGiB', -OLD."held_disk_gib");
    PERFORM ledger_hold(OLD."node_id", 'networkMbps', -OLD."held_network_mbps");
    RETURN NULL;
  END IF;
  PERFORM 1 FROM "inventory" WHERE "node_id" = NEW."node_id" ORDER BY "class" FOR UPDATE;
  IF TG_OP = 'INSERT' THEN
    before."cpu_milli" := 0; before."network_mbps" := 0;
    before."held_cpu_milli" := 0; before."held_memory_mib" := 0; before."held_disk_gib" := 0; before."held_network_mbps" := 0;
  ELSE
    before := OLD;
  END IF;
  IF NEW."cpu_milli" > before."cpu_milli" AND EXISTS (
    SELECT FROM "inventory" i WHERE i."node_id" = NEW."node_id" AND i."class" = 'cpuMilli'
      AND i."held" + NEW."held_cpu_milli" - before."held_cpu_milli" > floor((i."total" - i."reserved") * i."allocation_ratio")
  ) THEN
    UPDATE "slice" SET "held_cpu_milli" = "cpu_milli"
      WHERE "node_id" = NEW."node_id" AND "id" <> NEW."id" AND "held_cpu_milli" > "cpu_milli";
  END IF;
  IF NEW."network_mbps" > before."network_mbps" AND EXISTS (
    SELECT FROM "inventory" i WHERE i."node_id" = NEW."node_id" AND i."class" = 'networkMbps'
      AND i."held" + NEW."held_network_mbps" - before."held_network_mbps" > floor((i."total" - i."reserved") * i."allocation_ratio")
  ) THEN
    UPDATE "slice" SET "held_network_mbps" = "network_mbps"
      WHERE "node_id" = NEW."node_id" AND "id" <> NEW."id" AND "held_network_mbps" > "network_mbps";
  END IF;
  PERFORM ledger_hold(NEW."node_id", 'cpuMilli', NEW."held_cpu_milli" - before."held_cpu_milli");
  PERFORM ledger_hold(NEW."node_id", 'memoryMiB', NEW."held_memory_mib" - before."held_memory_mib");
  PERFORM ledger_hold(NEW."node_id", 'diskGiB', NEW."held_disk_gib" - before."held_disk_gib");
  PERFORM ledger_hold(NEW."node_id", 'networkMbps', NEW."held_network_mbps" - before."held_network_mbps");
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_loans_rows" AFTER INSERT OR DELETE ON "slice"
  FOR EACH ROW EXECUTE FUNCTION ledger_slice_held();
CREATE TRIGGER "slice_loans_amounts" AFTER UPDATE OF
  "cpu_milli", "memory_mib", "disk_gib", "network_mbps",
  "ceiling_cpu_milli", "ceiling_memory_mib", "ceiling_disk_gib", "ceiling_network_mbps",
  "held_cpu_milli", "held_memory_mib", "held_disk_gib", "held_network_mbps" ON "slice"
  FOR EACH ROW EXECUTE FUNCTION ledger_slice_held();

CREATE FUNCTION ledger_guard_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW."held" <> 0 THEN
      RAISE EXCEPTION 'of a new inventory nothing is held yet' USING ERRCODE = 'DR003';
    END IF;
  ELSIF NEW."held" <> OLD."held" AND pg_trigger_depth() < 2 THEN
    RAISE EXCEPTION 'what is held of a node follows from its slices and is not set by hand' USING ERRCODE = 'DR003';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER "inventory_guard_held" BEFORE INSERT OR UPDATE ON "inventory"
  FOR EACH ROW EXECUTE FUNCTION ledger_guard_held();

-- A change of one slice of a running DRVM under way, with how far it has come, so that another process can go on with
-- it or take it back. One at a time of each DRVM, whoever asked for it.
CREATE TABLE "slice_change" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "drvm_id" UUID NOT NULL REFERENCES "drvm" ("id") ON DELETE CASCADE,
  "operation_id" UUID NOT NULL REFERENCES "operation" ("id") ON DELETE CASCADE,
  "kind" TEXT NOT NULL CHECK ("kind" IN ('resize', 'add', 'remove', 'move', 'rebuild')),
  -- Names the change within its operation: the same one asked for again goes on with it.
  "fingerprint" TEXT NOT NULL,
  "stage" TEXT NOT NULL,
  "details" JSONB NOT NULL DEFAULT '{}',
  "result" JSONB,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  "ended_at" TIMESTAMPTZ(3),
  "outcome" TEXT CHECK ("outcome" IN ('done', 'given-back')),
  CONSTRAINT "slice_change_ended_with_outcome" CHECK (("ended_at" IS NULL) = ("outcome" IS NULL))
);
CREATE UNIQUE INDEX "slice_change_one_per_drvm" ON "slice_change" ("drvm_id") WHERE "ended_at" IS NULL;
CREATE INDEX "slice_change_operation" ON "slice_change" ("operation_id");

GRANT USAGE ON SEQUENCE "slice_spec_generation" TO drvs_app;
