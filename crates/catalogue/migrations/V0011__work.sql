-- Jobs. next_at is when a worker may next take it: the time of a retry, or the end of
-- the present lease; NULL once done or failed.
CREATE TABLE IF NOT EXISTS work (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind          VARCHAR(64)     NOT NULL,
    work_key      VARCHAR(512)    NOT NULL,
    run_id        BIGINT UNSIGNED NULL,
    file_id       BIGINT UNSIGNED NULL,
    state         VARCHAR(8)      NOT NULL COMMENT 'queued, leased, done or failed',
    holder        VARCHAR(255)    NULL,
    fence         BIGINT UNSIGNED NOT NULL DEFAULT 0,
    attempts      INT UNSIGNED    NOT NULL DEFAULT 0,
    next_at       DATETIME(6)     NULL DEFAULT CURRENT_TIMESTAMP(6),
    last_error    TEXT            NULL,
    created_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY work_name (kind, work_key),
    KEY work_due (kind, next_at, id),
    CONSTRAINT work_run FOREIGN KEY (run_id) REFERENCES run (id),
    CONSTRAINT work_file FOREIGN KEY (file_id) REFERENCES file (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
