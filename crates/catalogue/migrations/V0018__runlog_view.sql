-- The table that a MIDAS logger's run book has been, for macros and pages that read it:
-- its 38 columns in its order, then site and version, read-only. A book's own words stand
-- where there are any; of runs recorded from data the codes are made from their copies.
-- Local times of those need the server's time zone tables, else they are UTC.
CREATE VIEW IF NOT EXISTS runlog AS
SELECT
    r.number AS run_number,
    COALESCE(MAX(IF(a.name='run_description',a.text_value,NULL)),MAX(IF(a.name='description',a.text_value,NULL))) AS run_description,
    CAST(COALESCE(MAX(IF(a.name='book.start_time',a.text_value,NULL)),CONVERT_TZ(r.started_at,'+00:00',s.time_zone),r.started_at) AS DATETIME) AS start_time,
    MAX(IF(a.name='exposure_sec',COALESCE(a.number_value,a.bool_value),NULL)) AS exposure_sec,
    MAX(IF(a.name='GEM3_V',COALESCE(a.number_value,a.bool_value),NULL)) AS GEM3_V,
    MAX(IF(a.name='GEM2_V',COALESCE(a.number_value,a.bool_value),NULL)) AS GEM2_V,
    MAX(IF(a.name='GEM1_V',COALESCE(a.number_value,a.bool_value),NULL)) AS GEM1_V,
    MAX(IF(a.name='T2_V',COALESCE(a.number_value,a.bool_value),NULL)) AS T2_V,
    MAX(IF(a.name='T1_V',COALESCE(a.number_value,a.bool_value),NULL)) AS T1_V,
    MAX(IF(a.name='DRIFT_V',COALESCE(a.number_value,a.bool_value),NULL)) AS DRIFT_V,
    MAX(IF(a.name='OFFSET_V',COALESCE(a.number_value,a.bool_value),NULL)) AS OFFSET_V,
    MAX(IF(a.name='PMT1_V',COALESCE(a.number_value,a.bool_value),NULL)) AS PMT1_V,
    MAX(IF(a.name='PMT2_V',COALESCE(a.number_value,a.bool_value),NULL)) AS PMT2_V,
    MAX(IF(a.name='PMT3_V',COALESCE(a.number_value,a.bool_value),NULL)) AS PMT3_V,
    MAX(IF(a.name='PMT4_V',COALESCE(a.number_value,a.bool_value),NULL)) AS PMT4_V,
    MAX(IF(a.name='HV_STATE',COALESCE(a.number_value,a.bool_value),NULL)) AS HV_STATE,
    MAX(IF(a.name='total_gas_flow',COALESCE(a.number_value,a.bool_value),NULL)) AS total_gas_flow,
    MAX(IF(a.name='sequencer_running',COALESCE(a.number_value,a.bool_value),NULL)) AS sequencer_running,
    MAX(IF(a.name='sequence_filename',a.text_value,NULL)) AS sequence_filename,
    MAX(IF(a.name='pmt_acquisition',COALESCE(a.number_value,a.bool_value),NULL)) AS pmt_acquisition,
    MAX(IF(a.name='pedestal_run',COALESCE(a.number_value,a.bool_value),NULL)) AS pedestal_run,
    MAX(IF(a.name='source_type',COALESCE(a.number_value,a.bool_value),NULL)) AS source_type,
    MAX(IF(a.name='source_position',COALESCE(a.number_value,a.bool_value),NULL)) AS source_position,
    MAX(IF(a.name='discrimination_threshold',COALESCE(a.number_value,a.bool_value),NULL)) AS discrimination_threshold,
    MAX(IF(a.name='trigger_veto_time',a.text_value,NULL)) AS trigger_veto_time,
    MAX(IF(a.name='trigger_logic',COALESCE(a.number_value,a.bool_value),NULL)) AS trigger_logic,
    r.run_type AS run_type,
    MAX(IF(a.name='drs4_correction_active',COALESCE(a.number_value,a.bool_value),NULL)) AS drs4_correction_active,
    MAX(IF(a.name='shielding_configuration',COALESCE(a.number_value,a.bool_value),NULL)) AS shielding_configuration,
    CAST(COALESCE(MAX(IF(a.name='book.stop_time',a.text_value,NULL)),CONVERT_TZ(r.ended_at,'+00:00',s.time_zone),r.ended_at) AS DATETIME) AS stop_time,
    r.events AS number_of_events,
    COALESCE(MAX(IF(a.name='storage_local_status',COALESCE(a.number_value,a.bool_value),NULL)),IF(r.closed_by IS NULL,-1,0)) AS storage_local_status,
    COALESCE(MAX(IF(a.name='storage_cloud_status',COALESCE(a.number_value,a.bool_value),NULL)),IF(c.in_cloud,1,-1)) AS storage_cloud_status,
    COALESCE(MAX(IF(a.name='storage_tape_status',COALESCE(a.number_value,a.bool_value),NULL)),IF(c.on_tape,1,-1)) AS storage_tape_status,
    COALESCE(MAX(IF(a.name='file_size',COALESCE(a.number_value,a.bool_value),NULL)),IF(c.in_cloud,c.stored_size,NULL),-1) AS file_size,
    MAX(IF(a.name='file_checksum',a.text_value,NULL)) AS file_checksum,
    COALESCE(MAX(IF(a.name='file_s3_tag',a.text_value,NULL)),IF(c.in_cloud,r.site,NULL)) AS file_s3_tag,
    COALESCE(MAX(IF(a.name='online_reco_status',COALESCE(a.number_value,a.bool_value),NULL)),-1) AS online_reco_status,
    r.site AS site,
    r.version AS version
FROM run r
JOIN site s ON s.name=r.site
LEFT JOIN run_attribute a ON a.run_id=r.id
LEFT JOIN (
    SELECT f.run_id,
        MAX(p.bucket IS NOT NULL AND p.state='available') AS in_cloud,
        MAX(p.state='on_tape') AS on_tape,
        SUM(IF(p.bucket IS NOT NULL AND p.state='available',p.stored_size,0)) AS stored_size
    FROM file f JOIN replica p ON p.file_id=f.id
    GROUP BY f.run_id
) c ON c.run_id=r.id
GROUP BY r.id,r.site,r.number,r.version,r.started_at,r.ended_at,r.closed_by,r.run_type,r.events,
    s.time_zone,c.in_cloud,c.on_tape,c.stored_size
