-- Who may act as a singleton, until when by this server's clock. fence only grows.
CREATE TABLE IF NOT EXISTS lease (
    name          VARCHAR(64)     NOT NULL PRIMARY KEY,
    holder        VARCHAR(255)    NOT NULL,
    fence         BIGINT UNSIGNED NOT NULL,
    until_at      DATETIME(6)     NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
