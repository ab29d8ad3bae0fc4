-- The files of an order, each with the copy that stays and the evidence of it, as they
-- were when the order was given.
CREATE TABLE IF NOT EXISTS purge_order_file (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    purge_order_id  BIGINT UNSIGNED NOT NULL,
    file_id         BIGINT UNSIGNED NOT NULL,
    element         VARCHAR(64)     NOT NULL,
    evidence        VARCHAR(4)      NOT NULL,
    evidence_method VARCHAR(128)    NOT NULL,
    evidence_value  VARCHAR(255)    NOT NULL,
    evidence_at     DATETIME(6)     NOT NULL,
    UNIQUE KEY purge_order_file_name (purge_order_id, file_id),
    KEY purge_order_file_file (file_id),
    CONSTRAINT purge_order_file_order FOREIGN KEY (purge_order_id) REFERENCES purge_order (id),
    CONSTRAINT purge_order_file_file FOREIGN KEY (file_id) REFERENCES file (id),
    CONSTRAINT purge_order_file_element FOREIGN KEY (element) REFERENCES element (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
