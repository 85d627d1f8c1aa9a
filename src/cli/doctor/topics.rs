//! Whether the server lets us subscribe each topic, and whether its messages come and can be read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::report::{Check, Outcome, Report};
use crate::cli::live::line;
use crate::cli::print::counted;
use crate::cli::received::{Found, PREFIX, statuses, transient};
use crate::config::Plan;
use crate::model::Severity;
use crate::source::{Client, ClientError, Topic, in_short, reads_a_queue};
use crate::stomp::{Event, Message};

/// Of more topics only those have a line that are not as they should be.
const TOPICS_SHOWN_MAX: usize = 10;

/// One topic, and whether its answer and its message still have to come.
struct Waiting<'a> {
    topic: &'a Topic,
    is_subscribed: bool,
    has_message: bool,
}

/// Subscribes them all, and waits for the first message of each.
pub(super) async fn look(
    report: &mut Report,
    client: &mut Client,
    plan: &Plan,
    topics: &[&Topic],
    wait: Duration,
) {
    let mut waiting = Vec::new();
    for topic in topics {
        match client.subscription(topic) {
            Ok(subscription) if reads_a_queue(&subscription) => report.add(queue(topic)),
            Ok(subscription) => {
                let subscription = transient(subscription);
                client.session().subscribe(subscription, Instant::now());
                waiting.push(Waiting {
                    topic,
                    is_subscribed: false,
                    has_message: false,
                });
            }
            Err(error) => report.add(refused(&topic.name, &error)),
        }
    }
    let mut look = Look {
        report,
        plan,
        began: Instant::now(),
        shows_each: waiting.len() <= TOPICS_SHOWN_MAX,
        waiting,
    };
    let followed = tokio::time::timeout(wait, look.follow(client)).await;
    if let Ok(Err(error)) = followed {
        look.broken(&error);
    } else {
        look.silent(wait);
    }
}

struct Look<'a> {
    report: &'a mut Report,
    plan: &'a Plan,
    began: Instant,
    shows_each: bool,
    waiting: Vec<Waiting<'a>>,
}

impl<'a> Look<'a> {
    /// Until each topic has brought a message.
    async fn follow(&mut self, client: &mut Client) -> Result<(), ClientError> {
        while self.waiting.iter().any(|topic| !topic.has_message) {
            match client.next().await? {
                Event::Subscribed { id, .. } => self.subscribed(&id),
                Event::Message(message) => {
                    self.subscribed(&message.subscription);
                    self.message(&message);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Option<&mut Waiting<'a>> {
        let name = id.strip_prefix(PREFIX)?;
        self.waiting
            .iter_mut()
            .find(|waiting| *waiting.topic.name == *name)
    }

    fn subscribed(&mut self, id: &str) {
        let took = self.began.elapsed();
        let Some(waiting) = self.find(id).filter(|waiting| !waiting.is_subscribed) else {
            return;
        };
        waiting.is_subscribed = true;
        let topic = waiting.topic;
        if self.shows_each {
            let check = Check::new("SUBSCRIBE", Outcome::Ok).took(took);
            let (name, destination) = (&topic.name, &topic.destination);
            let check = check.found(format!("{name}: {destination}"));
            self.report.add(check);
        }
    }

    fn message(&mut self, message: &Message) {
        let took = self.began.elapsed();
        let Some(waiting) = self
            .find(&message.subscription)
            .filter(|waiting| !waiting.has_message)
        else {
            return;
        };
        waiting.has_message = true;
        let topic = waiting.topic;
        if let Some(check) = self.read(topic, message) {
            self.report.add(check.took(took));
        }
    }

    /// What its first status is; `None`: it is as it should be, and one of many.
    fn read(&self, topic: &Topic, message: &Message) -> Option<Check> {
        let decoder = self.plan.decoders.get(&topic.name)?;
        let name = &topic.name;
        let check = |outcome| Check::new("first message", outcome);
        let found = statuses(message, decoder).next();
        Some(match found {
            Some(Found::Status(status)) if status.severity == Severity::Unknown => {
                check(Outcome::Ok)
                    .found(line(&status, decoder))
                    .advise(format!(
                        "[states] does not have `{}`, so that its severity is unknown: add it",
                        status.new_state
                    ))
            }
            Some(Found::Status(_)) if !self.shows_each => return None,
            Some(Found::Status(status)) => check(Outcome::Ok).found(line(&status, decoder)),
            Some(Found::Nothing { error, .. }) => check(Outcome::Failed)
                .found(format!("{name}: it cannot be decoded: {error}"))
                .advise(format!(
                    "name where its values are in [topics.{name}] fields; `stomp-bridge tap \
                     --frames --topic {name}` shows the message, `stomp-bridge config route` what \
                     becomes of it"
                )),
            None => check(Outcome::Ok).found(format!("{name}: it holds no status")),
        })
    }

    fn names(&self, is: impl Fn(&Waiting<'_>) -> bool) -> BTreeSet<String> {
        let waiting = self.waiting.iter().filter(|waiting| is(waiting));
        waiting
            .map(|waiting| waiting.topic.name.to_string())
            .collect()
    }

    /// What has not come in time.
    fn silent(&mut self, wait: Duration) {
        let seconds = wait.as_secs();
        let subscribed = self.names(|waiting| waiting.is_subscribed).len();
        if !self.shows_each {
            let check = Check::new("SUBSCRIBE", Outcome::Ok);
            self.report
                .add(check.found(counted(subscribed as u64, "topic", "topics")));
        }
        let unanswered = self.names(|waiting| !waiting.is_subscribed);
        if !unanswered.is_empty() {
            let names = in_short(&unanswered.into_iter().collect::<Vec<_>>());
            let check = Check::new("SUBSCRIBE", Outcome::Ok).found(names);
            self.report.add(check.advise(format!(
                "the server has neither confirmed nor refused it within {seconds} s"
            )));
        }
        let silent = self.names(|waiting| waiting.is_subscribed && !waiting.has_message);
        if !silent.is_empty() {
            let names = in_short(&silent.into_iter().collect::<Vec<_>>());
            let check = Check::new("first message", Outcome::Ok).took(wait);
            self.report
                .add(check.found(format!("none: {names}")).advise(format!(
                "subscribed, but silent for {seconds} s: is the destination right? Compare it with \
                 what the platform's web page subscribes; where devices speak seldom, wait longer \
                 with --wait"
            )));
        }
    }

    /// The connection has ended.
    fn broken(&mut self, error: &ClientError) {
        let unconfirmed = self.names(|waiting| !waiting.is_subscribed);
        let (step, names) = match unconfirmed.is_empty() {
            true => ("connection", self.names(|_| true)),
            false => ("SUBSCRIBE", unconfirmed),
        };
        let is_several = names.len() > 1;
        let names = in_short(&names.into_iter().collect::<Vec<_>>());
        let check = Check::new(step, Outcome::Failed).found(format!("{names}: {error}"));
        self.report.add(match is_several {
            true => check.advise("--topic NAME tries one alone"),
            false => check,
        });
    }
}

/// Reading a queue takes its messages away from the daemon.
fn queue(topic: &Topic) -> Check {
    Check::new("SUBSCRIBE", Outcome::Skipped).found(format!(
        "{}: {} is a queue, whose messages would come here and not to the daemon",
        topic.name, topic.destination
    ))
}

fn refused(topic: &str, error: &ClientError) -> Check {
    Check::new("SUBSCRIBE", Outcome::Failed).found(format!("{topic}: {error}"))
}
