-- Who set a run's type by hand: then neither the DAQ nor the profile changes it.
ALTER TABLE run
    ADD COLUMN IF NOT EXISTS type_by VARCHAR(128) NULL COMMENT 'NULL where the DAQ or the profile said it'
