-- Objects made from runs, such as reconstructed events.
CREATE TABLE IF NOT EXISTS product (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    run_id        BIGINT UNSIGNED NOT NULL,
    level         VARCHAR(32)     NOT NULL COMMENT 'reco, minute, minitree',
    pass          VARCHAR(64)     NOT NULL COMMENT 'online, std, pass7',
    version       INT UNSIGNED    NOT NULL,
    element       VARCHAR(64)     NOT NULL,
    bucket        VARCHAR(255)    NULL,
    location      VARCHAR(1024)   NOT NULL,
    size          BIGINT UNSIGNED NOT NULL,
    crc64nvme     CHAR(16)        NOT NULL,
    created_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY product_name (run_id, level, pass, version),
    CONSTRAINT product_run FOREIGN KEY (run_id) REFERENCES run (id),
    CONSTRAINT product_element FOREIGN KEY (element) REFERENCES element (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
