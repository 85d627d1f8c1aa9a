//! Configuration: schema (serde), load (figment), check (schema to each part's own settings).
