-- A run's type has a history, too, and types are longer than states.
ALTER TABLE transition
    MODIFY COLUMN IF EXISTS entity     VARCHAR(8)   NOT NULL COMMENT 'run, file, replica, order, or type of the run',
    MODIFY COLUMN IF EXISTS from_state VARCHAR(128) NULL COMMENT 'NULL at the beginning',
    MODIFY COLUMN IF EXISTS to_state   VARCHAR(128) NOT NULL
