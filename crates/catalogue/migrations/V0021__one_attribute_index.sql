-- A value is a text or a number, so that one index serves both: half as many entries to
-- write with each run.
ALTER TABLE run_attribute
    ADD INDEX IF NOT EXISTS attribute_value (name, text_key, number_value, taken_at, run_id),
    DROP INDEX IF EXISTS attribute_text,
    DROP INDEX IF EXISTS attribute_number
