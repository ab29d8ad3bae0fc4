//! Kafka: watermark, consumer, producer, outbox relay, dead letters.
