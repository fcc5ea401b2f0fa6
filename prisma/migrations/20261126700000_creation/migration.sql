-- Creations by the hundred. What follows from new slices, and from those that go, is written once for each statement
-- and not for each row: the locks of all their nodes in one order, each inventory once whatever the number of slices.
-- And a creation is one statement, which is a transaction by itself: see `ledger_create`.

DROP TRIGGER "slice_ledger_rows" ON "slice";
DROP TRIGGER "slice_loans_rows" ON "slice";
DROP TRIGGER "slice_rules_rows" ON "slice";
DROP TRIGGER "slice_usage_rows" ON "slice";

-- The rules are those of `ledger_slice_changed`, `ledger_slice_held`, `slice_rules` and `usage_slice_changed`, which
-- still follow each change of a slice that stays.
CREATE FUNCTION ledger_slices_come() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  odd RECORD;
  moment TIMESTAMPTZ;
BEGIN
  -- One lock per node orders all that is given of it, whatever the class.
  PERFORM 1 FROM "inventory" WHERE "node_id" IN (SELECT "node_id" FROM "come") ORDER BY "node_id", "class" FOR UPDATE;

  SELECT c."node_id" INTO odd FROM "come" c
    WHERE EXISTS (SELECT FROM "slice" s WHERE s."node_id" = c."node_id" AND s."exclusive" AND s."drvm_id" <> c."drvm_id")
      OR (c."exclusive" AND EXISTS (SELECT FROM "slice" s WHERE s."node_id" = c."node_id" AND s."drvm_id" <> c."drvm_id"))
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'node % is exclusive to a DRVM, or cannot become so', odd."node_id" USING ERRCODE = 'DR002';
  END IF;

  -- A guarantee comes before loans of CPU and network: those that stand in its way end in the same transaction.
  FOR odd IN
    SELECT d."node_id", d."class" FROM (
      SELECT c."node_id", given."class", sum(given."used") AS "used", sum(given."held") AS "held" FROM "come" c,
        LATERAL (VALUES ('cpuMilli'::"resource_class", c."cpu_milli", c."held_cpu_milli"),
          ('networkMbps', c."network_mbps", c."held_network_mbps")) AS given ("class", "used", "held")
      GROUP BY 1, 2
    ) d JOIN "inventory" i USING ("node_id", "class")
    WHERE d."used" > 0 AND i."held" + d."held" > floor((i."total" - i."reserved") * i."allocation_ratio")
      AND i."used" + d."used" <= floor((i."total" - i."reserved") * i."allocation_ratio")
    ORDER BY 1, 2
  LOOP
    IF odd."class" = 'cpuMilli' THEN
      UPDATE "slice" SET "held_cpu_milli" = "cpu_milli"
        WHERE "node_id" = odd."node_id" AND "held_cpu_milli" > "cpu_milli" AND "id" NOT IN (SELECT "id" FROM "come");
    ELSE
      UPDATE "slice" SET "held_network_mbps" = "network_mbps"
        WHERE "node_id" = odd."node_id" AND "held_network_mbps" > "network_mbps" AND "id" NOT IN (SELECT "id" FROM "come");
    END IF;
  END LOOP;

  SELECT d."node_id", d."class", d."used", d."held", coalesce(i."used", 0) AS "used_now", coalesce(i."held", 0) AS "held_now",
      coalesce(floor((i."total" - i."reserved") * i."allocation_ratio"), 0) AS "capacity",
      d."used" > 0 AND (i."node_id" IS NULL OR i."used" + d."used" > floor((i."total" - i."reserved") * i."allocation_ratio"))
        AS "is_given_too_much"
    INTO odd
    FROM (
      SELECT c."node_id", given."class", sum(given."used") AS "used", sum(given."held") AS "held" FROM "come" c,
        LATERAL (VALUES ('cpuMilli'::"resource_class", c."cpu_milli", c."held_cpu_milli"),
          ('memoryMiB', c."memory_mib", c."held_memory_mib"), ('diskGiB', c."disk_gib", c."held_disk_gib"),
          ('networkMbps', c."network_mbps", c."held_network_mbps")) AS given ("class", "used", "held")
      GROUP BY 1, 2
    ) d LEFT JOIN "inventory" i USING ("node_id", "class")
    WHERE (d."used" > 0 AND (i."node_id" IS NULL OR i."used" + d."used" > floor((i."total" - i."reserved") * i."allocation_ratio")))
      OR (d."held" > 0 AND (i."node_id" IS NULL OR i."held" + d."held" > floor((i."total" - i."reserved") * i."allocation_ratio")))
    ORDER BY 8 DESC, 1, 2 LIMIT 1;
  IF FOUND AND odd."is_given_too_much" THEN
    RAISE EXCEPTION 'node % cannot give % more of %: % of % are given',
      odd."node_id", odd."used", odd."class", odd."used_now", odd."capacity" USING ERRCODE = 'DR001';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'node % cannot let % more of % be held: % of % are held',
      odd."node_id", odd."held", odd."class", odd."held_now", odd."capacity" USING ERRCODE = 'DR001';
  END IF;

  SELECT c."node_id", given."class", given."amount", i."step" INTO odd FROM "come" c,
    LATERAL (VALUES ('cpuMilli'::"resource_class", c."cpu_milli"), ('memoryMiB', c."memory_mib"),
      ('diskGiB', c."disk_gib"), ('networkMbps', c."network_mbps")) AS given ("class", "amount"), "inventory" i
    WHERE i."node_id" = c."node_id" AND i."class" = given."class" AND i."step" > 1 AND given."amount" % i."step" <> 0
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION '% of % is not a multiple of %, the step of node %', odd."amount", odd."class", odd."step", odd."node_id"
      USING ERRCODE = 'DR004';
  END IF;
  SELECT c."node_id" INTO odd FROM "come" c WHERE EXISTS (
      SELECT FROM "drvm_affinity" a JOIN "slice" s ON s."drvm_id" = a."other_id" AND s."node_id" = c."node_id"
      WHERE a."drvm_id" = c."drvm_id" AND a."kind" = 'apart'
    ) OR EXISTS (
      SELECT FROM "drvm_affinity" a JOIN "slice" s ON s."drvm_id" = a."drvm_id" AND s."node_id" = c."node_id"
      WHERE a."other_id" = c."drvm_id" AND a."kind" = 'apart'
    ) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'node % holds a DRVM that this one is to be apart from', odd."node_id" USING ERRCODE = 'DR005';
  END IF;

  UPDATE "inventory" i SET "used" = i."used" + d."used", "held" = i."held" + d."held",
      "generation" = i."generation" + CASE WHEN d."used" > 0 THEN d."slices" ELSE 0 END
    FROM (
      SELECT c."node_id", given."class", sum(given."used")::integer AS "used", sum(given."held")::integer AS "held",
        count(*)::integer AS "slices"
      FROM "come" c,
        LATERAL (VALUES ('cpuMilli'::"resource_class", c."cpu_milli", c."held_cpu_milli"),
          ('memoryMiB', c."memory_mib", c."held_memory_mib"), ('diskGiB', c."disk_gib", c."held_disk_gib"),
          ('networkMbps', c."network_mbps", c."held_network_mbps")) AS given ("class", "used", "held")
      GROUP BY 1, 2
    ) d
    WHERE i."node_id" = d."node_id" AND i."class" = d."class" AND (d."used" > 0 OR d."held" > 0);

  moment := date_trunc('milliseconds', clock_timestamp());
  INSERT INTO "usage_span" ("slice_id", "tenant_id", "tenant", "drvm_id", "drvm", "node_id", "node",
    "cpu_milli", "memory_mib", "disk_gib", "network_mbps", "from_at")
  SELECT c."id", c."tenant_id", t."name", c."drvm_id", d."name", c."node_id", n."name",
    c."cpu_milli", c."memory_mib", c."disk_gib", c."network_mbps", moment
  FROM "come" c JOIN "tenant" t ON t."id" = c."tenant_id" JOIN "drvm" d ON d."id" = c."drvm_id"
    JOIN "node" n ON n."id" = c."node_id";
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_ledger_come" AFTER INSERT ON "slice" REFERENCING NEW TABLE AS "come"
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_slices_come();

CREATE FUNCTION ledger_slices_go() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  moment TIMESTAMPTZ := date_trunc('milliseconds', clock_timestamp());
BEGIN
  PERFORM 1 FROM "inventory" WHERE "node_id" IN (SELECT "node_id" FROM "gone") ORDER BY "node_id", "class" FOR UPDATE;
  UPDATE "inventory" i SET "used" = i."used" - d."used", "held" = i."held" - d."held",
      "generation" = i."generation" + CASE WHEN d."used" > 0 THEN d."slices" ELSE 0 END
    FROM (
      SELECT g."node_id", given."class", sum(given."used")::integer AS "used", sum(given."held")::integer AS "held",
        count(*)::integer AS "slices"
      FROM "gone" g,
        LATERAL (VALUES ('cpuMilli'::"resource_class", g."cpu_milli", g."held_cpu_milli"),
          ('memoryMiB', g."memory_mib", g."held_memory_mib"), ('diskGiB', g."disk_gib", g."held_disk_gib"),
          ('networkMbps', g."network_mbps", g."held_network_mbps")) AS given ("class", "used", "held")
      GROUP BY 1, 2
    ) d
    WHERE i."node_id" = d."node_id" AND i."class" = d."class" AND (d."used" > 0 OR d."held" > 0);
  UPDATE "usage_span" u SET "to_at" = greatest(u."from_at", moment)
    FROM "gone" g WHERE u."slice_id" = g."id" AND u."to_at" IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER "slice_ledger_go" AFTER DELETE ON "slice" REFERENCING OLD TABLE AS "gone"
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_slices_go();

-- What of a node placement goes by, besides its inventory, its slices and whether it is heard: changed, it is another.
CREATE FUNCTION node_seal(
  wanted_state "node_wanted_state", probation TEXT, traits TEXT[], found_traits TEXT[], taints TEXT[], labels JSONB
) RETURNS TEXT LANGUAGE sql STABLE AS $$
  SELECT md5(concat_ws(E'\n', wanted_state, probation, traits::text, found_traits::text, taints::text, labels::text))
$$;

-- Writes planned DRVMs down: the rows of each, of its slices, of the operation that builds it with its steps, its
-- event, and one entry of the audit for all; together or not at all. Before anything is written it looks whether the
-- tenant may have them, and whether the nodes are as they were when they were chosen; if not, nothing is changed and
-- the answer says why: {"refused": "tenant" | "name" | "quota" | "overtaken", …}. Whether there is room the ledger of
-- slices says (DR001 and following).
CREATE FUNCTION ledger_create(creation JSONB) RETURNS JSONB
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  owner "tenant"%ROWTYPE;
  used RECORD;
  asked JSONB := creation -> 'asked';
  taken TEXT;
  written JSONB;
BEGIN
  -- The tenant's row orders creations of one tenant, so that its quota is not passed by two at once.
  SELECT * INTO owner FROM "tenant" WHERE "id" = (creation ->> 'tenantId')::uuid FOR UPDATE;
  IF NOT FOUND THEN RETURN jsonb_build_object('refused', 'tenant'); END IF;
  SELECT d."name" INTO taken FROM "drvm" d
    WHERE d."tenant_id" = owner."id"
      AND d."name" = ANY (ARRAY(SELECT r."name" FROM jsonb_to_recordset(creation -> 'drvms') AS r ("name" TEXT)))
    ORDER BY 1 LIMIT 1;
  IF FOUND THEN RETURN jsonb_build_object('refused', 'name', 'name', taken); END IF;

  IF num_nonnulls(owner."quota_cpu_milli", owner."quota_memory_mib", owner."quota_disk_gib", owner."quota_network_mbps") > 0 THEN
    SELECT coalesce(sum("cpu_milli"), 0) AS "cpu", coalesce(sum("memory_mib"), 0) AS "memory",
        coalesce(sum("disk_gib"), 0) AS "disk", coalesce(sum("network_mbps"), 0) AS "network"
      INTO used FROM "slice" WHERE "tenant_id" = owner."id";
    IF used."cpu" + (asked ->> 'cpuMilli')::bigint > owner."quota_cpu_milli"
      OR used."memory" + (asked ->> 'memoryMiB')::bigint > owner."quota_memory_mib"
      OR used."disk" + (asked ->> 'diskGiB')::bigint > owner."quota_disk_gib"
      OR used."network" + (asked ->> 'networkMbps')::bigint > owner."quota_network_mbps" THEN
      RETURN jsonb_build_object('refused', 'quota', 'tenant', owner."name",
        'quota', jsonb_build_object('cpuMilli', owner."quota_cpu_milli", 'memoryMiB', owner."quota_memory_mib",
          'diskGiB', owner."quota_disk_gib", 'networkMbps', owner."quota_network_mbps"),
        'used', jsonb_build_object('cpuMilli', used."cpu", 'memoryMiB', used."memory", 'diskGiB', used."disk",
          'networkMbps', used."network"));
    END IF;
  END IF;

  -- In the order in which everybody takes them.
  PERFORM 1 FROM "inventory"
    WHERE "node_id" = ANY (ARRAY(SELECT r."id" FROM jsonb_to_recordset(creation -> 'nodes') AS r ("id" UUID)))
    ORDER BY "node_id", "class" FOR UPDATE;
  SELECT r."name" INTO taken FROM jsonb_to_recordset(creation -> 'nodes') AS r ("id" UUID, "name" TEXT, "seal" TEXT)
    LEFT JOIN "node" n ON n."id" = r."id"
    WHERE n."id" IS NULL
      OR node_seal(n."wanted_state", n."probation", n."traits", n."found_traits", n."taints", n."labels") <> r."seal"
      OR n."last_seen_at" < (creation ->> 'seenSince')::timestamptz
    LIMIT 1;
  IF FOUND THEN RETURN jsonb_build_object('refused', 'overtaken', 'name', taken); END IF;

  INSERT INTO "drvm" ("id", "tenant_id", "name", "dvos", "request", "detail")
    SELECT r."id", owner."id", r."name", r."dvos", r."request", r."detail"
    FROM jsonb_to_recordset(creation -> 'drvms')
      AS r ("id" UUID, "name" TEXT, "dvos" TEXT, "request" JSONB, "detail" TEXT);
  -- Before the slices: the ledger looks at them when a slice comes.
  INSERT INTO "drvm_affinity" ("drvm_id", "other_id", "tenant_id", "kind")
    SELECT r."drvmId", r."otherId", owner."id", r."kind"
    FROM jsonb_to_recordset(creation -> 'affinities') AS r ("drvmId" UUID, "otherId" UUID, "kind" TEXT);
  WITH made AS (
    INSERT INTO "slice" ("id", "drvm_id", "tenant_id", "node_id", "slice_index", "cpu_milli", "memory_mib", "disk_gib",
      "network_mbps", "ceiling_cpu_milli", "ceiling_memory_mib", "ceiling_disk_gib", "ceiling_network_mbps", "exclusive")
    SELECT r."id", r."drvmId", owner."id", r."nodeId", r."index", r."cpuMilli", r."memoryMiB", r."diskGiB", r."networkMbps",
      coalesce(r."ceilingCpuMilli", 0), coalesce(r."ceilingMemoryMiB", 0), coalesce(r."ceilingDiskGiB", 0),
      coalesce(r."ceilingNetworkMbps", 0), r."exclusive"
    FROM jsonb_to_recordset(creation -> 'slices') AS r ("id" UUID, "drvmId" UUID, "nodeId" UUID, "index" INTEGER,
      "cpuMilli" INTEGER, "memoryMiB" INTEGER, "diskGiB" INTEGER, "networkMbps" INTEGER,
      "ceilingCpuMilli" INTEGER, "ceilingMemoryMiB" INTEGER, "ceilingDiskGiB" INTEGER, "ceilingNetworkMbps" INTEGER,
      "exclusive" BOOLEAN)
    RETURNING *
  )
  SELECT jsonb_agg(jsonb_build_object('drvmId', "drvm_id", 'nodeId', "node_id", 'index', "slice_index", 'cpuMilli', "cpu_milli",
      'memoryMiB', "memory_mib", 'diskGiB', "disk_gib", 'containerState', "container_state", 'isolation', "isolation",
      'isHome', "is_home", 'ceilingCpuMilli', "ceiling_cpu_milli", 'heldCpuMilli', "held_cpu_milli") ORDER BY "slice_index")
    INTO written FROM made;
  INSERT INTO "operation" ("id", "kind", "subject", "tenant_id", "drvm_id", "params", "requested_by", "deadline_at", "node_ids")
    SELECT r."id", r."kind", r."subject", owner."id", r."drvmId", r."params", r."requestedBy", r."deadlineAt",
      ARRAY(SELECT jsonb_array_elements_text(r."nodeIds")::uuid)
    FROM jsonb_to_recordset(creation -> 'operations') AS r ("id" UUID, "kind" TEXT, "subject" TEXT, "drvmId" UUID,
      "params" JSONB, "requestedBy" TEXT, "deadlineAt" TIMESTAMPTZ, "nodeIds" JSONB);
  INSERT INTO "operation_step" ("operation_id", "position", "name")
    SELECT r."operationId", r."position", r."name"
    FROM jsonb_to_recordset(creation -> 'steps') AS r ("operationId" UUID, "position" INTEGER, "name" TEXT);
  INSERT INTO "event" ("kind", "text", "tenant_id", "tenant", "drvm_id", "drvm")
    SELECT 'drvm.create', r."text", owner."id", owner."name", r."drvmId", r."drvm"
    FROM jsonb_to_recordset(creation -> 'events') AS r ("text" TEXT, "drvmId" UUID, "drvm" TEXT);
  -- Last: the lock of the chain is held to the end.
  PERFORM audit_append(creation -> 'audit' ->> 'actor', creation -> 'audit' ->> 'action', creation -> 'audit' ->> 'object',
    owner."id", creation -> 'audit' -> 'details');
  RETURN jsonb_build_object('slices', written, 'createdAtMs', extract(epoch FROM now()::timestamptz(3)) * 1000);
END $$;
