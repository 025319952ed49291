-- Lists of jobs of a type, a queue or a platform. What many jobs have is found among the newest; what few or none have, by
-- leaving out the pages without it. Three ordinary indexes would nearly double the time that it takes to insert a row.
CREATE INDEX jobs_by_label ON jobs USING brin (
    task_type text_bloom_ops (n_distinct_per_range = 16),
    queue text_bloom_ops (n_distinct_per_range = 16),
    platform text_bloom_ops (n_distinct_per_range = 16)
) WITH (pages_per_range = 8, autosummarize = on);
