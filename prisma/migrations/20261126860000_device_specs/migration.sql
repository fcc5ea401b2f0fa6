-- Containers are told of the devices of their node: whatever changes those makes a newer specification.

CREATE FUNCTION device_specified() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_TABLE_NAME = 'device' THEN
    UPDATE "slice" s SET "spec_generation" = nextval('"slice_spec_generation"')
      FROM "device_allocation" a
      WHERE a."device_id" = NEW."id" AND s."drvm_id" = a."drvm_id" AND s."node_id" = a."node_id";
  ELSIF TG_OP = 'INSERT' THEN
    UPDATE "slice" SET "spec_generation" = nextval('"slice_spec_generation"')
      WHERE "drvm_id" = NEW."drvm_id" AND "node_id" = NEW."node_id";
  ELSE
    UPDATE "slice" SET "spec_generation" = nextval('"slice_spec_generation"')
      WHERE "drvm_id" = OLD."drvm_id" AND "node_id" = OLD."node_id";
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER "device_allocation_specified" AFTER INSERT OR DELETE ON "device_allocation"
  FOR EACH ROW EXECUTE FUNCTION device_specified();
CREATE TRIGGER "device_specified" AFTER UPDATE OF "path", "present" ON "device"
  FOR EACH ROW WHEN ((OLD."path", OLD."present") IS DISTINCT FROM (NEW."path", NEW."present"))
  EXECUTE FUNCTION device_specified();
