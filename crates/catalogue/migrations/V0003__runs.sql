-- One row per data-taking period. state, files, sealed_files and bytes are recomputed
-- from the files under this row's lock; revision grows with every change.
CREATE TABLE IF NOT EXISTS run (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    site          VARCHAR(32)     NOT NULL,
    number        BIGINT UNSIGNED NOT NULL,
    version       INT UNSIGNED    NOT NULL,
    state         VARCHAR(16)     NOT NULL,
    revision      BIGINT UNSIGNED NOT NULL,
    run_type      VARCHAR(128)    NULL,
    started_at    DATETIME(6)     NULL,
    ended_at      DATETIME(6)     NULL,
    closed_by     VARCHAR(16)     NULL COMMENT 'NULL while the DAQ writes; inferred if nobody said so',
    events        BIGINT UNSIGNED NULL,
    files         INT UNSIGNED    NOT NULL,
    sealed_files  INT UNSIGNED    NOT NULL,
    bytes         BIGINT UNSIGNED NOT NULL COMMENT 'decoded size of the sealed files',
    traceparent   VARCHAR(128)    NULL COMMENT 'W3C trace context of the close',
    manifest_key  VARCHAR(1024)   NULL,
    stored_at     DATETIME(6)     NULL,
    taken_at      DATETIME(6)     AS (COALESCE(started_at, ended_at, created_at)) PERSISTENT,
    created_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY run_name (site, number, version),
    KEY run_taken (taken_at, id),
    KEY run_state (site, state),
    CONSTRAINT run_site FOREIGN KEY (site) REFERENCES site (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
