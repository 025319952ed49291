-- Vacuum jobs after 2 % are deleted or 1 % are new, not after 20 %: pages with deleted rows are used again sooner, and
-- vacuum updates the BRIN indexes. Of new rows only, it reads only their pages.
--
-- The index no longer asks for an update with every few pages. Under load these requests were more than PostgreSQL keeps,
-- and it logged a line for each one that it dropped.
SET LOCAL lock_timeout = '2s';
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.01);
ALTER INDEX jobs_by_label SET (autosummarize = off);
