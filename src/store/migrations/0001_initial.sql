-- Ids are hyphenated lower-case UUIDv7 text, not blobs: an id that `rigup process list --json` prints can be pasted into
-- the sqlite3 shell, and the beginning of an id is a range of the primary key. The 20 bytes that each reference costs are
-- little compared with a row's command, environment and tails.
-- Times are RFC 3339 text in UTC with milliseconds: all have the same length, so they sort as text.
-- The checks of words are spelled with OR, because SQLite builds a table for each evaluation of IN.
-- Paths have the type ANY: text, or a blob if the path is not UTF-8.

CREATE TABLE machine (
    id                   TEXT PRIMARY KEY NOT NULL,
    guid                 TEXT NOT NULL UNIQUE,
    guid_source          TEXT NOT NULL,
    hostname             TEXT NOT NULL,
    hw_in_docker         INTEGER NOT NULL CHECK (hw_in_docker IN (0, 1)),
    hw_in_vm             INTEGER NOT NULL CHECK (hw_in_vm IN (0, 1)),
    hw_manufacturer      TEXT NOT NULL,
    hw_product           TEXT NOT NULL,
    hw_uuid              TEXT NOT NULL,
    os_arch              TEXT NOT NULL,
    os_family            TEXT NOT NULL,
    os_platform          TEXT NOT NULL,
    os_release           TEXT NOT NULL,
    os_kernel            TEXT NOT NULL,
    stats                TEXT NOT NULL, -- JSON object
    config               TEXT NOT NULL, -- JSON object
    facts_at             TEXT NOT NULL, -- when hostname to stats were gathered
    created_at           TEXT NOT NULL,
    modified_at          TEXT NOT NULL,
    num_uses_failed      INTEGER NOT NULL,
    num_uses_succeeded   INTEGER NOT NULL
) STRICT;

CREATE TABLE network_interface (
    id                   TEXT PRIMARY KEY NOT NULL,
    machine_id           TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    mac_address          TEXT NOT NULL,
    ip_public            TEXT NOT NULL,
    ip_local             TEXT NOT NULL,
    dns_server           TEXT NOT NULL,
    hostname             TEXT NOT NULL,
    iface                TEXT NOT NULL,
    isp                  TEXT NOT NULL,
    city                 TEXT NOT NULL,
    region               TEXT NOT NULL,
    country              TEXT NOT NULL,
    created_at           TEXT NOT NULL,
    modified_at          TEXT NOT NULL,
    UNIQUE (machine_id, ip_public, ip_local, mac_address, dns_server)
) STRICT;

CREATE TABLE binary (
    id                   TEXT PRIMARY KEY NOT NULL,
    machine_id           TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    name                 TEXT NOT NULL,
    binproviders         TEXT NOT NULL,
    min_version          TEXT NOT NULL,
    max_version          TEXT NOT NULL,
    -- The policy of the request; NULL if the request does not set it.
    min_release_age      REAL,          -- days
    postinstall_scripts  INTEGER,
    overrides            TEXT NOT NULL, -- JSON object
    -- The failures since the last success.
    retry_at             TEXT,
    attempt_count        INTEGER NOT NULL,
    last_error           TEXT NOT NULL,
    failed_request_digest TEXT NOT NULL,
    -- While installed.
    status               TEXT NOT NULL AS (iif(binprovider IS NULL, 'queued', 'installed')),
    binprovider          TEXT,
    abspath              ANY,
    version              TEXT,
    package_version      TEXT,
    url                  TEXT,
    url_sha256           TEXT,
    sha256               TEXT,
    fingerprint          TEXT,
    request_digest       TEXT,
    needs_wrapper        INTEGER CHECK (needs_wrapper IN (0, 1)),
    created_at           TEXT NOT NULL,
    modified_at          TEXT NOT NULL,
    num_uses_failed      INTEGER NOT NULL,
    num_uses_succeeded   INTEGER NOT NULL,
    UNIQUE (machine_id, name),
    CHECK ((binprovider IS NOT NULL) = (abspath IS NOT NULL AND version IS NOT NULL AND package_version IS NOT NULL
                                        AND url IS NOT NULL AND url_sha256 IS NOT NULL
                                        AND sha256 IS NOT NULL AND fingerprint IS NOT NULL
                                        AND request_digest IS NOT NULL AND needs_wrapper IS NOT NULL))
) STRICT;

CREATE TABLE process (
    id                   TEXT PRIMARY KEY NOT NULL,
    machine_id           TEXT NOT NULL REFERENCES machine (id) ON DELETE CASCADE,
    parent_id            TEXT REFERENCES process (id) ON DELETE SET NULL,
    binary_id            TEXT REFERENCES binary (id) ON DELETE SET NULL,
    iface_id             TEXT REFERENCES network_interface (id) ON DELETE SET NULL,
    process_type         TEXT NOT NULL
                         CHECK (process_type = 'cli' OR process_type = 'hook' OR process_type = 'binary'
                                OR process_type = 'worker' OR process_type = 'orchestrator'
                                OR process_type = 'supervisord'),
    plugin               TEXT NOT NULL,
    hook_name            TEXT NOT NULL,
    cmd                  TEXT NOT NULL, -- JSON list of strings
    pwd                  ANY NOT NULL,
    env                  TEXT NOT NULL, -- JSON object
    timeout              REAL,          -- seconds
    run_dir              ANY,           -- NULL once it is removed
    -- Of a run; the slug is empty for every other process.
    slug                 TEXT NOT NULL,
    description          TEXT NOT NULL,
    ttl_seconds          REAL,
    status               TEXT NOT NULL CHECK (status = 'queued' OR status = 'running' OR status = 'exited'),
    -- Once started. No two processes have the same three values of pid, start_ticks and boot_id.
    pid                  INTEGER,
    start_ticks          INTEGER,
    boot_id              TEXT,
    started_at           TEXT,
    -- Once exited.
    ended_at             TEXT,
    exit_code            INTEGER,
    signal               INTEGER,
    exit_reason          TEXT
                         CHECK (exit_reason = 'exited' OR exit_reason = 'signalled' OR exit_reason = 'timeout'
                                OR exit_reason = 'memory' OR exit_reason = 'stopped'
                                OR exit_reason = 'lost' OR exit_reason = 'spawn_failed'),
    stdout_tail          TEXT,
    stderr_tail          TEXT,
    stdout_bytes         INTEGER,
    stderr_bytes         INTEGER,
    max_rss              INTEGER, -- bytes
    user_ms              INTEGER,
    sys_ms               INTEGER,
    warnings             TEXT NOT NULL, -- JSON list of strings
    data_dir_id          TEXT NOT NULL, -- device and inode of the data dir, which differ in a copy
    created_at           TEXT NOT NULL,
    CHECK ((pid IS NULL) = (start_ticks IS NULL) AND (pid IS NULL) = (boot_id IS NULL)
           AND (pid IS NULL) = (started_at IS NULL)),
    CHECK (status <> 'queued' OR pid IS NULL),
    CHECK (status <> 'running' OR pid IS NOT NULL),
    CHECK ((status = 'exited') = (ended_at IS NOT NULL)),
    CHECK ((status = 'exited') = (exit_reason IS NOT NULL)),
    CHECK (status = 'exited' OR exit_code IS NULL)
) STRICT;

CREATE TABLE attempt (
    id                   TEXT PRIMARY KEY NOT NULL,
    binary_id            TEXT NOT NULL REFERENCES binary (id) ON DELETE CASCADE,
    process_id           TEXT REFERENCES process (id) ON DELETE SET NULL,
    provider             TEXT NOT NULL,
    outcome              TEXT NOT NULL
                         CHECK (outcome = 'installed' OR outcome = 'declined' OR outcome = 'skipped'
                                OR outcome = 'failed' OR outcome = 'rejected' OR outcome = 'timeout'),
    reason               TEXT NOT NULL,
    created_at           TEXT NOT NULL
) STRICT;

-- Each index ends with the columns of the order, so that the newest few of a million rows are read without sorting.
CREATE TABLE daemon (
    name                 TEXT PRIMARY KEY NOT NULL,
    source               TEXT NOT NULL, -- file and line of the declaration
    spec                 TEXT NOT NULL, -- the declaration, JSON object
    digest               TEXT NOT NULL, -- of what only a restart applies
    wanted               TEXT NOT NULL CHECK (wanted = 'started' OR wanted = 'stopped'),
    stopped_by_hand      INTEGER NOT NULL,
    status               TEXT NOT NULL,
    process_id           TEXT REFERENCES process (id) ON DELETE SET NULL,
    ready_at             TEXT,
    health               TEXT NOT NULL,
    restarts             INTEGER NOT NULL,
    restart_history      TEXT NOT NULL, -- what the next restarts depend on, JSON object
    next_start_at        TEXT,
    last_error           TEXT NOT NULL,
    binaries             TEXT NOT NULL, -- at the start of the execution, JSON object
    stale                INTEGER NOT NULL
) STRICT;

CREATE INDEX process_newest ON process (created_at, id);
CREATE INDEX process_root ON process (created_at, id) WHERE parent_id IS NULL;
CREATE INDEX process_of_parent ON process (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX process_of_binary ON process (binary_id, created_at, id) WHERE binary_id IS NOT NULL;
CREATE INDEX process_of_plugin ON process (plugin, created_at, id) WHERE plugin <> '';
CREATE INDEX process_of_slug ON process (slug, created_at, id) WHERE slug <> '';
CREATE INDEX process_unfinished ON process (created_at, id) WHERE status <> 'exited';
CREATE INDEX process_ended_run ON process (created_at, id)
    WHERE slug <> '' AND status = 'exited' AND run_dir IS NOT NULL;
CREATE INDEX attempt_of_binary ON attempt (binary_id, created_at, id);
-- For ON DELETE SET NULL. process.iface_id has no index: interfaces are deleted only with their machine, and are few.
CREATE INDEX attempt_of_process ON attempt (process_id) WHERE process_id IS NOT NULL;
