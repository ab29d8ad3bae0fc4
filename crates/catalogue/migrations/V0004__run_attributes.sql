-- What the DAQ says about a run: exactly one of the three values is set.
CREATE TABLE IF NOT EXISTS run_attribute (
    run_id        BIGINT UNSIGNED NOT NULL,
    name          VARCHAR(255)    NOT NULL,
    text_value    MEDIUMTEXT      NULL,
    number_value  DOUBLE          NULL,
    bool_value    BOOLEAN         NULL,
    unit          VARCHAR(64)     NULL,
    PRIMARY KEY (run_id, name),
    CONSTRAINT run_attribute_run FOREIGN KEY (run_id) REFERENCES run (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
