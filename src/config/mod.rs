//! Configuration: a file and the environment over it, checked as a whole, and turned into each
//! part's own settings. No other part knows this one.
//!
//! | file | what it does |
//! | --- | --- |
//! | `load` | reads a file: the way from a text to a plan |
//! | `environment` | what the process is given besides the file |
//! | `document` | the text as a tree of values (layers by figment) that knows each one's line (by toml's spans) |
//! | `foreign`, `line` | what a file is that is no TOML, and what is wrong in one line of it |
//! | `schema`, `units` | every key with its default; values as people write them |
//! | `masking` | which values are never shown, by their types in the schema |
//! | `report`, `problem` | collects what is wrong, and how it reads |
//! | `template`, `secret` | `{{ … }}` within a value, and where secrets are looked for |
//! | `check` | from the schema to the plan; `context` has what its parts share |
//! | `source`, `signin`, `topics`, `sinks`, `http` | the check of one table each; `mapping`: of how a topic's messages are read; `resync`: of its snapshots; `webhook`: of one type of sinks; `kinds`: of one key; `events`: the templates of a sink |
//! | `test_case` | messages with what is to become of them, for `config test` |
//! | `spelling` | URLs of other clients, and what they are called here |
//! | `plan` | what comes out |
//! | `json_schema`, `written` | what a configuration may say, for editors; what one says, and where; `defaults`: what holds where it says nothing |
//! | `lookup` | single values, whatever else is wrong |
//! | `place` | where the journal lies, whatever else is wrong |
//! | `names` | the file that says what devices are called |
//! | `histories` | where the SQL histories are, whatever else is wrong |
//! | `reading` | how entries are read and which of them a sink wants, whatever else is wrong |

mod check;
mod context;
mod defaults;
mod document;
mod environment;
mod events;
mod foreign;
mod histories;
mod http;
mod json_schema;
mod kinds;
mod line;
mod load;
mod lookup;
mod mapping;
mod masking;
mod names;
mod path;
mod place;
mod plan;
mod problem;
mod reading;
mod report;
mod resync;
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
mod written;

pub use environment::Environment;
pub use histories::{HistoryPlace, histories, histories_in};
pub use json_schema::json_schema;
pub use load::{load, load_in, parse, reading};
pub use names::{names, names_in};
pub use place::{Place, place, place_in};
pub use plan::{NamesFile, Plan, PlannedNames};
pub use problem::{Level, Location, Problem, Problems};
pub use reading::Reading;
pub use test_case::{TestCase, TestMessage};
pub use written::{LeftOut, Written, written};
