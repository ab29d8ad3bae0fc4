-- Copies of files on storage elements, each with the evidence it rests on.
CREATE TABLE IF NOT EXISTS replica (
    id               BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    file_id          BIGINT UNSIGNED NOT NULL,
    element          VARCHAR(64)     NOT NULL,
    state            VARCHAR(16)     NOT NULL,
    encoding         VARCHAR(16)     NOT NULL,
    bucket           VARCHAR(255)    NULL COMMENT 'object storage only',
    location         VARCHAR(1024)   NOT NULL COMMENT 'object key, or path below the element',
    stored_size      BIGINT UNSIGNED NOT NULL,
    stored_crc64nvme CHAR(16)        NULL,
    evidence         VARCHAR(4)      NOT NULL,
    evidence_method  VARCHAR(128)    NOT NULL,
    evidence_value   VARCHAR(255)    NOT NULL,
    evidence_at      DATETIME(6)     NOT NULL,
    fence            BIGINT UNSIGNED NOT NULL DEFAULT 0,
    created_at       DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at       DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY replica_place (file_id, element),
    KEY replica_state (element, state),
    CONSTRAINT replica_file FOREIGN KEY (file_id) REFERENCES file (id),
    CONSTRAINT replica_element FOREIGN KEY (element) REFERENCES element (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
