-- What people want done with each run that is complete. Each is its own consumer: its
-- jobs are work of the kind `on:<name>`.
CREATE TABLE IF NOT EXISTS hook (
    name          VARCHAR(48)     NOT NULL PRIMARY KEY,
    event         VARCHAR(32)     NOT NULL COMMENT 'run-stored',
    action        TEXT            NOT NULL COMMENT 'what is run or called, for people',
    site          VARCHAR(32)     NULL,
    run_type      VARCHAR(128)    NULL,
    since_at      DATETIME(6)     NOT NULL COMMENT 'runs that were complete before are left out',
    created_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
