//! Configuration: a file and the environment over it, checked as a whole, and turned into each
//! part's own settings. No other part knows this one.
//!
//! | file | what it does |
//! | --- | --- |
//! | `load` | reads a file: the way from a text to a plan |
//! | `environment` | what the process is given besides the file |
//! | `document` | the text as a tree of values (layers by figment) that knows each one's line (by toml's spans) |
//! | `foreign` | what a file is that is no TOML |
//! | `schema`, `units` | every key with its default; values as people write them |
//! | `masking` | which values are never shown, by their types in the schema |
//! | `report`, `problem` | collects what is wrong, and how it reads |
//! | `template`, `secret` | `{{ … }}` within a value, and where secrets are looked for |
//! | `check` | from the schema to the plan; `context` has what its parts share |
//! | `source`, `signin`, `topics`, `sinks`, `http` | the check of one table each; `mapping`: of how a topic's messages are read; `webhook`: of one type of sinks; `kinds`: of one key |
//! | `test_case` | messages with what is to become of them, for `config test` |
//! | `spelling` | URLs of other clients, and what they are called here |
//! | `plan` | what comes out |
//! | `place` | where the journal lies, whatever else is wrong |

mod check;
mod context;
mod document;
mod environment;
mod foreign;
mod http;
mod kinds;
mod load;
mod mapping;
mod masking;
mod path;
mod place;
mod plan;
mod problem;
mod report;
mod schema;
mod secret;
mod signin;
mod sinks;
mod source;
mod spelling;
mod template;
mod test_case;
mod topics;
mod units;
mod webhook;

pub use environment::Environment;
pub use load::{load, load_in, parse};
pub use place::{Place, place, place_in};
pub use plan::Plan;
pub use problem::{Level, Location, Problem, Problems};
pub use test_case::{TestCase, TestMessage};
