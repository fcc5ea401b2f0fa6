-- Who asks is the same for all rows of a statement: row-level security asks it once, not for each row. Inside a
-- subselect that depends on no row, PostgreSQL evaluates a function a single time and compares rows with its result,
-- by an index where there is one. A page of nodes is read in a third of the time.
DO $$
DECLARE
  policy RECORD;
  asked CONSTANT TEXT := '(app_sees_all\(\)|app_tenant\(\)|current_setting\(''app\.role''::text, true\))';
  once CONSTANT TEXT := '( SELECT \1)';
BEGIN
  FOR policy IN
    SELECT tablename, policyname, qual, with_check FROM pg_policies
    WHERE schemaname = current_schema() AND 'drvs_app' = ANY (roles)
  LOOP
    IF policy.qual IS NOT NULL THEN
      EXECUTE format('ALTER POLICY %I ON %I USING (%s)', policy.policyname, policy.tablename,
        regexp_replace(policy.qual, asked, once, 'g'));
    END IF;
    IF policy.with_check IS NOT NULL THEN
      EXECUTE format('ALTER POLICY %I ON %I WITH CHECK (%s)', policy.policyname, policy.tablename,
        regexp_replace(policy.with_check, asked, once, 'g'));
    END IF;
  END LOOP;
END $$;
