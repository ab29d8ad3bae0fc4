"""Reads a topic as any client of a schema registry does, with Confluent's own library.

usage: read_avro.py BROKERS REGISTRY TOPIC COUNT

Prints one JSON object per message, and last what the registry says of the topic's subject.
"""

import json
import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

brokers, url, topic, count = sys.argv[1:]
registry = SchemaRegistryClient({"url": url})
deserialize = AvroDeserializer(registry)
consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": "a-notebook",
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe([topic])
for _ in range(int(count)):
    message = consumer.poll(60)
    if message is None or message.error():
        sys.exit(f"no message: {message and message.error()}")
    context = SerializationContext(topic, MessageField.VALUE)
    print(json.dumps(deserialize(message.value(), context), default=str))
consumer.close()

subject = f"{topic}-value"
latest = registry.get_latest_version(subject)
retyped = json.loads(latest.schema.schema_str)
retyped["fields"][0]["type"] = "long"
print(
    json.dumps(
        {
            "compatibility": registry.get_compatibility(subject),
            "takes_retyped": registry.test_compatibility(
                subject, Schema(json.dumps(retyped), "AVRO")
            ),
        }
    )
)
