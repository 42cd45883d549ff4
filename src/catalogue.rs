//! The requirement catalogue of MQTT, embedded.
