//! Private Kafka, MariaDB and S3 on loopback, in one folder.
