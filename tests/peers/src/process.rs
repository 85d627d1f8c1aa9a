//! A process that ends with the test. It is in its own group and logs to a file. It is killed when
//! it is dropped or when the test process dies.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::wait;

/// A command whose process is killed when the test process dies without unwinding, by util-linux's
/// setpriv. Parent death signals outlive exec, so `program` is the process that has the pid.
pub fn tethered(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Runs a command to its end and panics with its output where it fails.
pub fn run(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The words of a command that runs one test of the running test binary in a process of its own:
/// `module` is the test's `module_path!()`.
pub fn own_test(module: &str, test: &str) -> Vec<OsString> {
    let own = std::env::current_exe().expect("a process knows its own file");
    // The first part of the path is the binary.
    let module = module.split_once("::").map_or("", |(_, path)| path);
    let path = [module, test].join("::");
    let words = ["--exact", &path, "--nocapture", "--test-threads=1"].map(OsString::from);
    [own.into_os_string()].into_iter().chain(words).collect()
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts every process from a thread that lives as long as the test process. A parent death signal
/// is sent when the *thread* that forked ends, and each test has its own thread.
static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = channel::<Order>();
    std::thread::Builder::new()
        .name("starter".to_owned())
        .spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        })
        .expect("start the thread that starts processes");
    orders
});

/// A running (or ended) process and its log.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where this process's part of the log begins: a restarted peer appends to the log of the one
    /// before.
    log_start: usize,
    end: Signal,
}

impl Process {
    /// Starts a [`tethered`] command, its output appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Process {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|e| panic!("open {}: {e}", log.display()));
        let log_start = file.metadata().map_or(0, |m| m.len() as usize);
        let also = file.try_clone().expect("a file handle can be duplicated");
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(also)
            .process_group(0);
        let (answer, started) = channel();
        STARTER
            .send((command, answer))
            .expect("the starter never ends");
        let child = started
            .recv()
            .expect("the starter answers every order")
            .unwrap_or_else(|e| panic!("start {name}: {e} (tests/run installs what is missing)"));
        Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            log_start,
            end: Signal::KILL,
        }
    }

    /// Is killed with another signal than SIGKILL.
    pub fn ending_with(mut self, signal: Signal) -> Process {
        self.end = signal;
        self
    }

    /// Its pid, which is also its process group.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes[self.log_start.min(bytes.len())..]).into_owned()
    }

    /// The last lines of its log, for a failure's message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("--- the end of {}'s log ---\n{tail}\n---", self.name)
    }

    /// Waits for a complete line of its log that `wanted` accepts. Panics with the log's tail if
    /// the process ends first or never writes one.
    pub async fn logged(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let found = wait::within(wait::LONG, async || {
            // Asked before the log is read: so the read includes its last lines before it ended.
            let ended = self.child.try_wait().expect("a child can be waited for");
            let log = self.log();
            let complete = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let line = complete
                .lines()
                .find(|line| wanted(line))
                .map(str::to_owned);
            match (line, ended) {
                (Some(line), _) => Some(Ok(line)),
                (None, Some(status)) => Some(Err(status)),
                (None, None) => None,
            }
        })
        .await;
        match found {
            Some(Ok(line)) => line,
            Some(Err(status)) => panic!(
                "{} ended ({status}) before {what}\n{}",
                self.name,
                self.log_tail()
            ),
            None => panic!(
                "{}: no {what} within {:?}\n{}",
                self.name,
                wait::LONG,
                self.log_tail()
            ),
        }
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal)
            .unwrap_or_else(|e| panic!("send {signal:?} to {}: {e}", self.name));
    }

    /// SIGSTOP to it and to what it has started: it answers nobody, and its sockets stay open.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// The end of [`Process::freeze`].
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let mut found = vec![self.pid()];
        while let Some(pid) = found.pop() {
            found.extend(children(pid));
            // It may have ended in between.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let child = &mut self.child;
        let status = wait::within(patience, async || {
            child.try_wait().expect("a child can be waited for")
        })
        .await;
        status.unwrap_or_else(|| {
            panic!(
                "{} still runs after {patience:?}\n{}",
                self.name,
                self.log_tail()
            )
        })
    }

    /// True until it has ended.
    pub fn runs(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_none()
    }

    /// SIGKILL (see [`Process::ending_with`]) to its whole group, and waits for it.
    pub fn kill(&mut self) {
        // Who is frozen hears no other signal than SIGKILL, and that would not reach those that are
        // not of its group.
        self.thaw();
        for signal in [self.end, Signal::KILL] {
            let deadline = Instant::now() + Duration::from_secs(10);
            if self.runs() {
                // Its group may have ended in between.
                let _ = kill_process_group(self.pid(), signal);
            }
            while self.runs() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// The most memory of a process that was resident at once, in bytes.
pub fn resident_bytes_max(pid: Pid) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// The same without the pages of files that are resident now.
pub fn memory_bytes_max(pid: Pid) -> u64 {
    resident_bytes_max(pid).saturating_sub(status_bytes(pid, "RssFile:"))
}

fn status_bytes(pid: Pid, key: &str) -> u64 {
    let status = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = fs::read_to_string(status).expect("the process runs");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(" kB"));
    let kib: Option<u64> = kib.and_then(|kib| kib.parse().ok());
    kib.expect("proc(5): sizes are in kB") * 1024
}

/// How often each thread of a process has waited for something, with its name: proc(5),
/// `voluntary_ctxt_switches`. A thread that has ended is not there.
pub fn waits(pid: Pid) -> BTreeMap<(String, String), u64> {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let tasks = fs::read_dir(tasks).expect("the process runs").flatten();
    let waits = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let value = |key| {
            status
                .lines()
                .find_map(|line| Some(line.strip_prefix(key)?.trim()))
        };
        let count = value("voluntary_ctxt_switches:")?.parse().ok()?;
        let id = task.file_name().to_string_lossy().into_owned();
        Some(((value("Name:")?.to_owned(), id), count))
    });
    waits.collect()
}

/// Those of a process's main thread, which is who forks in all of our peers.
fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
