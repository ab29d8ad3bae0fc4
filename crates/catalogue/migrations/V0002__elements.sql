-- Storage elements: places that hold replicas.
CREATE TABLE IF NOT EXISTS element (
    name          VARCHAR(64)  NOT NULL PRIMARY KEY,
    kind          VARCHAR(16)  NOT NULL COMMENT 'buffer, s3, posix, webdav or tape',
    site          VARCHAR(32)  NULL,
    url           VARCHAR(1024) NOT NULL,
    capabilities  JSON         NULL COMMENT 'what the endpoint was probed to do',
    created_at    DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    CONSTRAINT element_site FOREIGN KEY (site) REFERENCES site (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
