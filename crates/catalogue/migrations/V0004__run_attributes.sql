-- What the DAQ says about a run: exactly one of the three values is set. taken_at is the
-- run's, so that an index has the newest runs with a value first.
CREATE TABLE IF NOT EXISTS run_attribute (
    run_id        BIGINT UNSIGNED NOT NULL,
    name          VARCHAR(255)    NOT NULL,
    text_value    MEDIUMTEXT      NULL,
    number_value  DOUBLE          NULL,
    bool_value    BOOLEAN         NULL,
    unit          VARCHAR(64)     NULL,
    taken_at      DATETIME(6)     NOT NULL,
    text_key      VARCHAR(64)     AS (LEFT(text_value, 64)) PERSISTENT,
    PRIMARY KEY (run_id, name),
    KEY attribute_text (name, text_key, taken_at, run_id),
    KEY attribute_number (name, number_value, taken_at, run_id),
    CONSTRAINT run_attribute_run FOREIGN KEY (run_id) REFERENCES run (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
