-- Orders to free files of a buffer. Rows are never deleted: they say on what evidence a
-- file is no longer there.
CREATE TABLE IF NOT EXISTS purge_order (
    id                    BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    order_id              BINARY(16)      NOT NULL,
    run_id                BIGINT UNSIGNED NOT NULL,
    buffer                VARCHAR(64)     NOT NULL,
    state                 VARCHAR(16)     NOT NULL,
    policy                VARCHAR(128)    NOT NULL COMMENT 'with its version; by-hand for a person',
    reason                TEXT            NOT NULL,
    required              VARCHAR(4)      NOT NULL COMMENT 'evidence that each file needs at least',
    evidence_max_age_secs BIGINT UNSIGNED NOT NULL,
    ordered_by            VARCHAR(128)    NOT NULL,
    note                  TEXT            NULL COMMENT 'what it waits for',
    cancelled_because     TEXT            NULL,
    restore_by            VARCHAR(128)    NULL COMMENT 'who asked for the files back',
    restore_reason        TEXT            NULL,
    proposed_at           DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    checked_at            DATETIME(6)     NULL,
    trashed_at            DATETIME(6)     NULL,
    unlinking_at          DATETIME(6)     NULL COMMENT 'from here on there is no way back',
    ended_at              DATETIME(6)     NULL,
    UNIQUE KEY purge_order_name (order_id),
    KEY purge_order_due (buffer, state),
    CONSTRAINT purge_order_run FOREIGN KEY (run_id) REFERENCES run (id),
    CONSTRAINT purge_order_buffer FOREIGN KEY (buffer) REFERENCES element (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
