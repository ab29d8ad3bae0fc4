-- Named stretches of data taking. Which runs are of one follows from its ends.
CREATE TABLE IF NOT EXISTS period (
    name          VARCHAR(64)     NOT NULL PRIMARY KEY,
    site          VARCHAR(32)     NULL COMMENT 'NULL: every site',
    from_number   BIGINT UNSIGNED NULL COMMENT 'its first run; with from_at NULL: from the first there is',
    from_at       DATETIME(6)     NULL,
    to_number     BIGINT UNSIGNED NULL COMMENT 'its last run; with to_at NULL: it goes on',
    to_at         DATETIME(6)     NULL COMMENT 'runs taken then are no longer of it',
    description   TEXT            NOT NULL,
    set_by        VARCHAR(128)    NOT NULL,
    set_at        DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    CONSTRAINT period_site FOREIGN KEY (site) REFERENCES site (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
