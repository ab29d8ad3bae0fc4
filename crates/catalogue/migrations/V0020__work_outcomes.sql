-- What the last attempt of a job left to read, whether it succeeded or not.
ALTER TABLE work ADD COLUMN IF NOT EXISTS outcome TEXT NULL AFTER last_error
