-- Announcements of facts, written in the transaction that makes them true.
CREATE TABLE IF NOT EXISTS outbox (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    topic         VARCHAR(128)    NOT NULL,
    message_key   VARCHAR(1024)   NOT NULL,
    value         MEDIUMBLOB      NOT NULL,
    event_id      BINARY(16)      NOT NULL,
    traceparent   VARCHAR(128)    NULL,
    created_at    DATETIME(6)     NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE KEY outbox_event (event_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
