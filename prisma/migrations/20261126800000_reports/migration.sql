-- What a slice's container is comes from two sides: from operations, which have it from the agent's answer, and from the
-- agent's reports. A report that came in before an operation wrote down what it had learned is older than that, and
-- does not count. All times are this server's own.

ALTER TABLE slice ADD COLUMN reported_at timestamptz NOT NULL DEFAULT clock_timestamp();

CREATE FUNCTION slice_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.reported_at := clock_timestamp();
  RETURN NEW;
END $$;

-- A report sets the time at which it came in; whoever else writes these columns knows it now.
CREATE TRIGGER slice_told BEFORE UPDATE OF container_state, applied_generation ON slice
  FOR EACH ROW WHEN (NEW.reported_at = OLD.reported_at) EXECUTE FUNCTION slice_told();
