-- The history: one row per step of a run, file or replica. Partitioned by month so that
-- old months can be moved away whole; migrate makes the months ahead.
CREATE TABLE IF NOT EXISTS transition (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    at            DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    run_id        BIGINT UNSIGNED NOT NULL,
    entity        VARCHAR(8)      NOT NULL COMMENT 'run, file or replica',
    entity_id     BIGINT UNSIGNED NOT NULL,
    from_state    VARCHAR(16)     NULL COMMENT 'NULL at the beginning',
    to_state      VARCHAR(16)     NOT NULL,
    who           VARCHAR(128)    NOT NULL,
    why           TEXT            NOT NULL,
    evidence      JSON            NULL,
    revision      BIGINT UNSIGNED NOT NULL COMMENT 'of the run, after this step',
    PRIMARY KEY (id, at),
    KEY transition_run (run_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
PARTITION BY RANGE COLUMNS (at) (
    PARTITION later VALUES LESS THAN (MAXVALUE)
)
