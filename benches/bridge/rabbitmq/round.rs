//! One contestant through one scenario, once: fresh queue, fresh mosquitto, fresh folder.

use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};

use super::arrivals::{Event, Expected, Missed, Place, Watch};
use super::contestant::{Contestant, End, Role, Surroundings, telling_line};
use super::figures::{Figures, Measured};
use super::proc::Counters;
use super::publisher::Publisher;
use super::scenario::{DRAIN_MESSAGES, Scenario};
use crate::mosquitto::{Mosquitto, Nagle};
use crate::subscriber::Subscriber;
use peers::process::Process;
use peers::source::Source;

/// Not measured: the first connections, the first pages of a journal, a compiler at work.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// Until a probe has come, a virtual machine's start included.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Then another probe: who does not acknowledge may lose the first one while it starts.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Until the last has come, after the last was written. A message that is missing then is lost.
const PACED_PATIENCE: Duration = Duration::from_secs(20);
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// A publisher that falls behind its schedule by more has not kept the rate: this machine is too
/// busy, or RabbitMQ holds it back.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Until nothing is left to do after the probe.
const SETTLE: Duration = Duration::from_secs(3);
/// What the flood's server is subscribed to.
const FLOOD_TOPIC: &str = "/topic/state/1";

/// One run's conditions.
pub(super) struct Round<'a> {
    pub(super) contestant: &'a Contestant,
    pub(super) scenario: Scenario,
    /// Measured, where the scenario does not end by itself.
    pub(super) duration: Duration,
    /// RabbitMQ's.
    pub(super) stomp_port: u16,
    /// Not used before.
    pub(super) queue: String,
}

impl Round<'_> {
    /// Fails with what the table's row is to say.
    pub(super) fn run(&self) -> anyhow::Result<Figures> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mosquitto = Mosquitto::start(folder.path(), Nagle::Off);
        let measured = match self.scenario {
            Scenario::Paced { rate } => self.pace(folder.path(), &mosquitto, rate),
            Scenario::Drain => self.drain(folder.path(), &mosquitto),
            Scenario::Idle => self.idle(folder.path(), &mosquitto),
            Scenario::Flood => self.flood(folder.path(), &mosquitto),
        };
        Ok(measured?.figures())
    }

    fn pace(&self, folder: &Path, mosquitto: &Mosquitto, rate: u32) -> anyhow::Result<Measured> {
        let interval = Duration::from_secs(1) / rate;
        let messages = |duration: Duration| (duration.as_secs_f64() * f64::from(rate)) as usize;
        let expected = Expected {
            measured: messages(WARM_UP),
            count: messages(WARM_UP + self.duration),
        };
        let mut publisher = Publisher::open(self.stomp_port, &self.queue)?;
        publisher.probe()?;
        let watch = Watch::start(self.place(folder, mosquitto)?, expected)?;
        let mut process = self.start(folder, mosquitto)?;
        self.ready(&mut publisher, &watch, &mut process)?;

        let (done, written) = channel();
        thread::spawn(move || done.send(publisher.pace(interval, expected.count)));
        let before = self.counted_at(Event::Began, WARM_UP + PACED_PATIENCE, &watch, &mut process);
        let patience = WARM_UP + self.duration + PACED_PATIENCE;
        let after = self.counted_at(Event::Complete, patience, &watch, &mut process);
        let came = watch.finish()?;
        // Nobody publishes into the next run.
        let paced = written.recv().context("the publisher")??;
        let (before, after) = complete(&came, before, after)?;
        let late_max = paced.late_max;
        ensure!(
            late_max <= LATE_MAX,
            "the publisher was {late_max:.1?} late: the rate was not {rate} a second"
        );

        let pairs = paced.written.iter().zip(&came).skip(expected.measured);
        let latencies = pairs
            .filter_map(|(written, came)| Some(came.as_ref()?.saturating_duration_since(*written)));
        Ok(Measured {
            used: after.since(&before),
            per: (expected.count - expected.measured) as f64,
            rate_per_second: rate_of(&came[expected.measured..]),
            latencies: match &self.contestant.end {
                End::Subscriber => latencies.collect(),
                End::File(_) => Vec::new(),
            },
            late_max: Some(late_max),
        })
    }

    /// From the first message that has come to the last: what starting costs is not counted.
    fn drain(&self, folder: &Path, mosquitto: &Mosquitto) -> anyhow::Result<Measured> {
        let expected = Expected {
            measured: 0,
            count: DRAIN_MESSAGES,
        };
        Publisher::open(self.stomp_port, &self.queue)?.fill(expected.count)?;
        let watch = Watch::start(self.place(folder, mosquitto)?, expected)?;
        let mut process = self.start(folder, mosquitto)?;
        let before = self.counted_at(Event::Began, READY_PATIENCE, &watch, &mut process);
        let after = self.counted_at(Event::Complete, DRAIN_PATIENCE, &watch, &mut process);
        let came = watch.finish()?;
        let (before, after) = complete(&came, before, after)?;
        Ok(Measured {
            used: after.since(&before),
            per: expected.count as f64,
            rate_per_second: rate_of(&came),
            latencies: Vec::new(),
            late_max: None,
        })
    }

    fn idle(&self, folder: &Path, mosquitto: &Mosquitto) -> anyhow::Result<Measured> {
        let nothing = Expected {
            measured: 0,
            count: 0,
        };
        let mut publisher = Publisher::open(self.stomp_port, &self.queue)?;
        publisher.probe()?;
        let watch = Watch::start(self.place(folder, mosquitto)?, nothing)?;
        let mut process = self.start(folder, mosquitto)?;
        self.ready(&mut publisher, &watch, &mut process)?;
        thread::sleep(SETTLE);
        let (start, before) = (Instant::now(), count(&process)?);
        thread::sleep(self.duration);
        let (elapsed, after) = (start.elapsed(), count(&process)?);
        ensure!(process.runs(), "it has ended");
        watch.finish()?;
        Ok(Measured {
            used: after.since(&before),
            per: elapsed.as_secs_f64(),
            rate_per_second: None,
            latencies: Vec::new(),
            late_max: None,
        })
    }

    /// No RabbitMQ, and nobody waits for what reaches mosquitto: every message is acknowledged.
    fn flood(&self, folder: &Path, mosquitto: &Mosquitto) -> anyhow::Result<Measured> {
        let source = Source::bind();
        let around = Surroundings {
            folder,
            stomp_port: source.address().port(),
            queue: FLOOD_TOPIC,
            mqtt: mosquitto.address().to_string(),
        };
        let process = self.contestant.start(Role::Flood, &around)?;
        let explain = |error| anyhow!("{error}: {}", said(&process));
        let mut client = source
            .accept()
            .map_err(explain)
            .context("no subscription")?;
        client.flood(WARM_UP, usize::MAX).map_err(explain)?;
        let before = count(&process)?;
        let (messages, elapsed) = client.flood(self.duration, usize::MAX).map_err(explain)?;
        let after = count(&process)?;
        client.check_acknowledged()?;
        Ok(Measured {
            used: after.since(&before),
            per: messages as f64,
            rate_per_second: Some(messages as f64 / elapsed.as_secs_f64()),
            latencies: Vec::new(),
            late_max: None,
        })
    }

    fn start(&self, folder: &Path, mosquitto: &Mosquitto) -> anyhow::Result<Process> {
        let around = Surroundings {
            folder,
            stomp_port: self.stomp_port,
            queue: &self.queue,
            mqtt: mosquitto.address().to_string(),
        };
        self.contestant.start(Role::Bridge, &around)
    }

    fn place(&self, folder: &Path, mosquitto: &Mosquitto) -> anyhow::Result<Place> {
        Ok(match &self.contestant.end {
            End::Subscriber => Place::Subscriber(Subscriber::connect(mosquitto.address())?),
            End::File(name) => Place::file(folder.join(name)),
        })
    }

    fn ready(
        &self,
        publisher: &mut Publisher,
        watch: &Watch,
        process: &mut Process,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            match watch.until(Event::Ready, PROBE_INTERVAL, process) {
                Err(Missed::Late) if Instant::now() < deadline => publisher.probe()?,
                Err(missed) => bail!("not ready: {missed}: {}", said(process)),
                Ok(()) => return Ok(()),
            }
        }
    }

    fn counted_at(
        &self,
        event: Event,
        patience: Duration,
        watch: &Watch,
        process: &mut Process,
    ) -> anyhow::Result<Counters> {
        watch
            .until(event, patience, process)
            .map_err(|missed| anyhow!("{missed}: {}", said(process)))?;
        count(process)
    }
}

fn count(process: &Process) -> anyhow::Result<Counters> {
    let pid = process.pid().as_raw_nonzero().get();
    Counters::read(pid.cast_unsigned()).context("/proc")
}

/// A loss is a failure, and says how much.
fn complete(
    came: &[Option<Instant>],
    before: anyhow::Result<Counters>,
    after: anyhow::Result<Counters>,
) -> anyhow::Result<(Counters, Counters)> {
    let missing = came.iter().filter(|came| came.is_none()).count();
    let both = before.and_then(|before| Ok((before, after?)));
    both.map_err(|error| anyhow!("{missing} of {} did not come: {error}", came.len()))
}

/// Messages a second, from the first that came to the last.
fn rate_of(came: &[Option<Instant>]) -> Option<f64> {
    let (first, last) = (came.iter().flatten().min()?, came.iter().flatten().max()?);
    Some((came.len() - 1) as f64 / last.duration_since(*first).as_secs_f64())
}

fn said(process: &Process) -> String {
    telling_line(&process.log()).to_owned()
}
