-- Counters of bytes and operations begin with the process that counts them: only with its name beside them is it known
-- whether more than before is the difference, or all of it.
ALTER TABLE "usage_counter" ADD COLUMN "incarnation" TEXT;
-- Readings of two processes of a container may come within a millisecond.
ALTER TABLE "usage_counter" ALTER COLUMN "at" TYPE TIMESTAMPTZ(6);
