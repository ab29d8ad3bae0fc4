-- Where DAQs live. A run of a site that is not here is refused.
CREATE TABLE IF NOT EXISTS site (
    name          VARCHAR(32)  NOT NULL PRIMARY KEY,
    time_zone     VARCHAR(64)  NOT NULL COMMENT 'IANA name; for people, times here are UTC',
    description   TEXT         NOT NULL,
    created_at    DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
