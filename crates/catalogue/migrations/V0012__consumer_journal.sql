-- How far a consumer's effects reach, written in the transaction of the effects.
CREATE TABLE IF NOT EXISTS consumer_journal (
    consumer_group VARCHAR(255)   NOT NULL,
    topic          VARCHAR(128)   NOT NULL,
    partition_no   INT            NOT NULL,
    next_offset    BIGINT         NOT NULL,
    updated_at     DATETIME(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (consumer_group, topic, partition_no)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin
