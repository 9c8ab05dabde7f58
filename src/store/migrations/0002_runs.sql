-- Detached runs, which are the processes with a slug.

ALTER TABLE process ADD COLUMN slug TEXT NOT NULL DEFAULT '';
ALTER TABLE process ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE process ADD COLUMN ttl_seconds REAL;

CREATE INDEX process_of_slug ON process (slug, created_at, id) WHERE slug <> '';
CREATE INDEX process_not_removed ON process (created_at, id)
    WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL;
CREATE INDEX process_root ON process (created_at, id) WHERE parent_id IS NULL;
