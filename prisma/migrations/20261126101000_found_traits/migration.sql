-- What an agent has found is asked at every placement, and its whole inventory is too large for that.
ALTER TABLE "node" ADD COLUMN "found_traits" TEXT[] NOT NULL DEFAULT '{}';
UPDATE "node" SET "found_traits" = array_prepend('arch=' || ("inventory" ->> 'arch'),
  ARRAY(SELECT jsonb_array_elements_text(coalesce("inventory" -> 'traits', '[]'))))
  WHERE "inventory" ? 'arch';
