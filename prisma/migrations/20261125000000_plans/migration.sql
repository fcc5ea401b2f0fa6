-- Plans are kept with the generations of what they were made from, so that one that was overtaken is refused and not
-- carried out on a cluster that has changed.

CREATE TABLE "plan" (
  "id" UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  "kind" TEXT NOT NULL CHECK ("kind" IN ('balance', 'drain')),
  -- Null: over the whole cluster.
  "tenant_id" UUID REFERENCES "tenant" ("id") ON DELETE CASCADE,
  "node_id" UUID REFERENCES "node" ("id") ON DELETE CASCADE,
  "node" TEXT,
  "snapshot" TEXT NOT NULL,
  "basis" JSONB NOT NULL,
  "steps" JSONB NOT NULL,
  "gain" JSONB NOT NULL,
  "cost" JSONB NOT NULL,
  "rejected" JSONB NOT NULL,
  "requested_by" TEXT NOT NULL,
  "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT now(),
  -- A plan is carried out once, also when the operation that did it is forgotten.
  "applied_at" TIMESTAMPTZ(3),
  "operation_id" UUID UNIQUE REFERENCES "operation" ("id") ON DELETE SET NULL,
  CONSTRAINT "plan_drain_names_its_node" CHECK (("kind" = 'drain') = ("node" IS NOT NULL)),
  CONSTRAINT "plan_operation_when_applied" CHECK ("operation_id" IS NULL OR "applied_at" IS NOT NULL)
);
CREATE INDEX "plan_tenant" ON "plan" ("tenant_id");
CREATE INDEX "plan_created_at" ON "plan" ("created_at");

GRANT SELECT, INSERT, UPDATE, DELETE ON "plan" TO drvs_app;
ALTER TABLE "plan" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "read_own" ON "plan" FOR SELECT TO drvs_app USING (app_sees_all() OR "tenant_id" = app_tenant());
CREATE POLICY "insert_own" ON "plan" FOR INSERT TO drvs_app WITH CHECK (app_may_write("tenant_id"));
CREATE POLICY "update_own" ON "plan" FOR UPDATE TO drvs_app
  USING (app_may_write("tenant_id")) WITH CHECK (app_may_write("tenant_id"));
CREATE POLICY "delete_own" ON "plan" FOR DELETE TO drvs_app USING (app_may_write("tenant_id"));
