//! What can be asked of the ruler.

use std::time::Duration;

use super::contestant::Contestant;
use super::scenario::Scenario;

/// Compares ways from a queue of RabbitMQ to mosquitto, side by side.
///
/// `KB dirty` is the pages of files that a contestant made dirty (write_bytes of /proc/PID/io), not
/// what the device wrote. For that put the target folder on a loop device of its own, and read
/// /sys/block/loopN/stat before and after: its seventh number counts 512 bytes.
#[derive(clap::Parser)]
#[command(name = "cargo bench --bench bridge -- rabbitmq", no_binary_name = true)]
pub(super) struct Options {
    /// Scenarios: paced-N, drain, idle, flood
    #[arg(long, value_delimiter = ',', default_value = Scenario::DEFAULT)]
    pub(super) only: Vec<Scenario>,

    /// How often each contestant's turn comes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rounds: u32,

    /// Seconds that are measured in the paced, idle and flood scenarios
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// A binary in place of the release build: NAME=PATH[,config=FILE][,flood-config=FILE]
    /// [,end=subscriber|end=file:NAME][,args=ARGUMENTS]; may be given more than once
    ///
    /// The files are templates: benches/bridge/rabbitmq/ours.toml is the default and shows the
    /// words that are filled in. A run ends when every message has come to the MQTT subscriber, or
    /// its `seq=` and digits are in the file NAME of the run's folder. ARGUMENTS are separated by
    /// blanks, `run --config @CONFIG@` where nothing is said.
    #[arg(long = "contestant", value_name = "NAME=PATH", value_parser = Contestant::given)]
    pub(super) contestants: Vec<Contestant>,

    /// Contestants to leave out: ours, script, camel, floor
    #[arg(long, value_delimiter = ',')]
    pub(super) without: Vec<String>,

    /// Contestants that take part only when they are asked for
    #[arg(long, value_delimiter = ',', value_parser = ["python"])]
    pub(super) with: Vec<String>,
}

impl Options {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Who takes part.
    pub(super) fn contestants(&self) -> Vec<Contestant> {
        let mut all = self.all();
        all.retain(|contestant| !self.without.contains(&contestant.name));
        all
    }

    /// Who was left out without having been there.
    pub(super) fn unknown(&self) -> Option<&str> {
        let all = self.all();
        let known = |name: &str| all.iter().any(|contestant| contestant.name == name);
        self.without
            .iter()
            .map(String::as_str)
            .find(|name| !known(name))
    }

    fn all(&self) -> Vec<Contestant> {
        let mut all = match self.contestants.as_slice() {
            [] => vec![Contestant::ours()],
            given => given.to_vec(),
        };
        all.push(Contestant::script());
        if self.with.iter().any(|name| name == "python") {
            all.push(Contestant::python());
        }
        all.extend([Contestant::camel(), Contestant::floor()]);
        all
    }
}
