//! `stomp-bridge history` on a terminal, at a pipe that closes, and beside a daemon that writes.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

/// Somebody without rights.
const NOBODY: u32 = 65534;

/// A demo: a daemon, a broker and devices.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
}

impl Demo {
    /// One whose history has this number of statuses.
    fn start(statuses: usize) -> Demo {
        let folder = tempfile::tempdir().unwrap();
        let child = bridge(folder.path(), &["demo", "--dir", "."])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let demo = Demo { child, folder };
        let end = Instant::now() + Duration::from_secs(60);
        while demo.stored() < statuses {
            assert!(Instant::now() < end, "the demo stores nothing");
            std::thread::sleep(Duration::from_millis(100));
        }
        demo
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn stored(&self) -> usize {
        let output = history(self.path(), "events --format json")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bridge(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stomp-bridge"));
    command.current_dir(folder).args(args);
    for name in ["COLUMNS", "LC_ALL", "LC_CTYPE", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("LANG", "C.UTF-8");
    command
}

fn history(folder: &Path, args: &str) -> Command {
    let mut command = bridge(folder, &["history"]);
    command.args(args.split_whitespace());
    command
}

/// What a terminal of this width shows, by util-linux's `script`.
fn on_a_terminal(folder: &Path, columns: usize, variables: &str, args: &str) -> String {
    let bridge = env!("CARGO_BIN_EXE_stomp-bridge");
    let run = format!("stty cols {columns}; env {variables} {bridge} history {args}");
    let output = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("TERM", "xterm")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn widest(text: &str) -> usize {
    text.lines()
        .map(|line| line.trim_end().width())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_table_fits_the_terminal_beside_a_daemon_that_writes() {
    let demo = Demo::start(50);
    fs::write(
        demo.path().join("names.csv"),
        "device,name,group\n1/1,射阳县人民政府南泵站,江苏\n1/3,二号泵站,江苏\n",
    )
    .unwrap();
    let config = demo.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[names]\nfile = \"names.csv\"\n")).unwrap();
    for columns in [80, 40, 20] {
        for args in [
            "devices",
            "events --limit 20",
            "faults",
            "gaps",
            "availability",
            "availability --by day",
            "availability --by group",
        ] {
            let text = on_a_terminal(demo.path(), columns, "LANG=C.UTF-8 NO_COLOR=1", args);
            assert!(!text.contains('\u{1b}'), "{args}: {text:?}");
            // A path has no blank to wrap at.
            let table: Vec<&str> = text
                .lines()
                .filter(|line| !line.contains("history.db"))
                .collect();
            assert!(
                widest(&table.join("\n")) <= columns,
                "{columns} {args}:\n{text}"
            );
            assert!(!table.is_empty(), "{args}: {text}");
        }
    }
    let named = on_a_terminal(demo.path(), 80, "LANG=C.UTF-8", "devices --group 江苏");
    assert!(named.contains("射阳县人民政府南泵站"), "{named}");
    let coloured = on_a_terminal(demo.path(), 80, "LANG=C.UTF-8", "devices");
    assert!(coloured.contains("\u{1b}[3"), "{coloured:?}");
    let bar = on_a_terminal(demo.path(), 80, "LANG=C.UTF-8 NO_COLOR=1", "availability");
    assert!(bar.contains("█ ok") && bar.contains('█'), "{bar}");
    let ascii = on_a_terminal(
        demo.path(),
        80,
        "LANG=C LC_ALL=C NO_COLOR=1",
        "availability",
    );
    assert!(ascii.contains("# ok") && !ascii.contains('█'), "{ascii}");
    // No terminal: no colours, no bar, and all columns.
    let piped = history(demo.path(), "availability").output().unwrap();
    let piped = String::from_utf8(piped.stdout).unwrap();
    assert!(!piped.contains('█') && !piped.contains('\u{1b}'), "{piped}");
}

#[test]
fn statuses_are_followed_in_the_order_of_storing_until_nobody_reads() {
    let demo = Demo::start(20);
    let mut follow = history(demo.path(), "events --follow --format json --limit 5")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut sequences = Vec::new();
    while sequences.len() < 30 {
        let line = lines.next().unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        sequences.push(event["sequence"].as_i64().unwrap());
    }
    let expected: Vec<i64> = (sequences[0]..sequences[0] + 30).collect();
    assert_eq!(sequences, expected);
    drop(lines);
    // It writes the next status into a pipe that nobody reads.
    assert_eq!(follow.wait().unwrap().code(), Some(0));
}

#[test]
fn a_pipe_that_closes_ends_an_answer_quietly() {
    let demo = Demo::start(200);
    for args in ["export", "events --format csv", "events --limit 1000"] {
        let mut child = history(demo.path(), args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert_eq!(output.stderr, b"", "{args}: {output:?}");
    }
}

#[test]
fn a_file_of_another_user_is_named_with_what_to_do() {
    let mut demo = Demo::start(1);
    fs::set_permissions(demo.path(), Permissions::from_mode(0o755)).unwrap();
    let output = history(demo.path(), "devices --file history.db")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("may not read history.db") && said.contains("`mode`"),
        "{said}"
    );
    for args in ["why 1/1", "history forget --device 1/1", "journal backup b"] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let mut command = bridge(demo.path(), &args);
        let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        let journal = demo.path().join("journal.db").display().to_string();
        let expected = format!(
            "stomp-bridge: this user may not read the journal {journal}: run this as the daemon's \
             user, or as root\n"
        );
        assert_eq!(said, expected, "{args:?}");
    }
    // One that may be read, in a folder that may not be written to.
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    let journal = |suffix: &str| demo.path().join(format!("journal.db{suffix}"));
    for suffix in ["", "-wal"] {
        fs::set_permissions(journal(suffix), Permissions::from_mode(0o644)).unwrap();
    }
    fs::remove_file(journal("-shm")).unwrap();
    let mut command = bridge(demo.path(), &["why", "1/1", "--journal", "journal.db"]);
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("there is no -shm beside it, and this user may not make one"),
        "{said}"
    );
}

#[test]
fn why_has_the_times_of_the_history_and_finds_them_again() {
    let demo = Demo::start(20);
    let config = demo.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let path = "path = \"history.db\"\n";
    let zoned = text.replace(path, &format!("{path}timezone = \"Europe/Berlin\"\n"));
    assert_ne!(zoned, text);
    fs::write(&config, zoned).unwrap();
    let why = |more: &[&str]| {
        let args = [&["why", "1/1"], more].concat();
        let output = bridge(demo.path(), &args).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let said = why(&[]);
    let (before, _) = said
        .split_once(", times of Europe/Berlin, position ")
        .unwrap_or_else(|| panic!("{said}"));
    let (_, received) = before.rsplit_once("received  ").unwrap();
    let position = |said: &str| {
        let (_, behind) = said.split_once(", position ")?;
        Some(behind.lines().next()?.to_owned())
    };
    // Up to the end of its millisecond.
    let again = why(&["--at", &format!("{received}999")]);
    assert_eq!(position(&again), position(&said), "{again}");
    let backup = history(demo.path(), "backup absent/x.db --file history.db").output();
    let said = String::from_utf8(backup.unwrap().stderr).unwrap();
    let is_named = said.starts_with("stomp-bridge: copy history.db to absent/x.db: there is no")
        && said.ends_with("/absent: make it, or name another file\n");
    assert!(is_named, "{said}");
    let earlier = why(&["--at", "2020-01-01 10:00"]);
    assert!(
        earlier.contains("before 2020-01-01 10:00:00.000"),
        "{earlier}"
    );
}

#[test]
fn a_mistake_on_the_command_line_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.db"), "no database").unwrap();
    for (args, expected) in [
        (
            "history events --limit 0",
            "invalid value '0' for '--limit <N>': expected a whole number from 1 on",
        ),
        (
            "history events --limit -1",
            "expected a whole number from 1 on",
        ),
        ("dlq list --limit abc", "expected a whole number from 1 on"),
        ("dlq list --offset x", "expected a whole number from 0 on"),
        ("demo --messages x", "expected a whole number from 0 on"),
        ("tap --count 1.5", "expected a whole number from 1 on"),
        ("doctor --wait 1m", "from 0 to 86400"),
        ("support-bundle --lines 200000 x", "from 0 to 100000"),
        ("status --http localhost", "such as 127.0.0.1:9610"),
        (
            "history events --since 1month",
            "units: ms, s, m, h, d, w, y",
        ),
        (
            "history events --since 2026-11-31",
            "there is no day 2026-11-31",
        ),
        ("history prune --keep 5", "units: ms, s, m, h, d, w, y"),
        (
            "why 1/1 --journal text.db",
            "text.db is not a journal of stomp-bridge, but something else",
        ),
        (
            "status --http 127.0.0.1:1 --token-file absent",
            "read absent: there is no such file or folder",
        ),
        (
            "support-bundle absent/x.tar.gz --yes",
            "there is no folder absent: make it, or name another file",
        ),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = bridge(folder.path(), &args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
        assert!(!said.contains("os error"), "{args:?}: {said}");
    }
}

#[test]
fn a_history_in_a_folder_that_this_user_may_not_write_to_is_read_and_copied() {
    let mut demo = Demo::start(20);
    let folder = demo.path().to_owned();
    let file = |suffix: &str| folder.join(format!("history.db{suffix}"));
    let open_to_all = || {
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        for suffix in ["", "-wal", "-shm"] {
            // Not each of them is there at each time.
            let _ = fs::set_permissions(file(suffix), Permissions::from_mode(0o644));
        }
    };
    let nobody = |args: &str| {
        let mut command = history(&folder, args);
        let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let all = "events --format json --file history.db";
    open_to_all();
    let (code, beside_the_daemon) = nobody(all);
    assert_eq!(code, Some(0), "{beside_the_daemon}");
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    open_to_all();
    let (code, killed) = nobody(all);
    assert_eq!(code, Some(0), "{killed}");
    assert!(killed.lines().count() >= 20, "{killed}");

    // Such as a copy of the two files on a medium.
    fs::remove_file(file("-shm")).unwrap();
    let (code, said) = nobody(all);
    assert_eq!(code, Some(1), "{said}");
    for words in [
        "cannot read the -wal of history.db",
        "start the daemon",
        "--file",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }

    // The last one who leaves puts the rows of the -wal into the file.
    let output = Command::new("sqlite3")
        .args(["history.db", "SELECT count(*) FROM event"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(!file("-wal").exists(), "{output:?}");
    assert_eq!(nobody(all), (Some(0), killed.clone()));
    let copies = tempfile::tempdir().unwrap();
    fs::set_permissions(copies.path(), Permissions::from_mode(0o777)).unwrap();
    let copy = copies.path().join("copy.db").display().to_string();
    let (code, said) = nobody(&format!("backup {copy} --file history.db"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        nobody(&format!("events --format json --file {copy}")),
        (Some(0), killed)
    );
    let (code, said) = nobody("prune --keep 1s --yes --file history.db");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("that we may write to them"), "{said}");
}

#[test]
fn names_are_in_conditions_bodies_and_json_and_a_bad_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = "[source]\nurl = \"ws://h\"\n[topics.map-1]\ndestination = \"/topic/a\"\n\
        [sinks.named]\ntype = \"webhook\"\nurl = \"http://h/a\"\nbody = \"{{ name }}, {{ group }}\"\n\
        [sinks.plain]\ntype = \"webhook\"\nurl = \"http://h/b\"\nwhen = \"group == '江苏'\"\n\
        [sinks.other]\ntype = \"webhook\"\nurl = \"http://h/c\"\nwhen = \"group == '广东'\"\n";
    let names = "[names]\nfile = \"names.csv\"\n";
    fs::write(path("config.toml"), format!("{config}{names}")).unwrap();
    fs::write(
        path("names.csv"),
        "serial,device,name,group\n,1/1,泵站,江苏\nsn-2,,二号,\n",
    )
    .unwrap();
    let route = |message: &str| -> serde_json::Value {
        fs::write(path("m.json"), message).unwrap();
        let args = ["config", "route", "--message", "m.json", "--json"];
        let output = bridge(folder.path(), &args).output().unwrap();
        let routed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        routed["statuses"][0]["status"].clone()
    };
    let first = route(r#"{"clientId":1,"deviceId":1,"oldState":"正常","newState":"故障"}"#);
    assert_eq!(first["event"]["name"], "泵站");
    assert_eq!(first["sinks"][0]["sends"]["request"]["body"], "泵站, 江苏");
    assert_eq!(
        first["sinks"][1]["takes"], false,
        "sinks are in order: {first}"
    );
    assert_eq!(first["sinks"][2]["takes"], true, "{first}");
    let body = first["sinks"][2]["sends"]["request"]["body"]
        .as_str()
        .unwrap();
    assert!(body.ends_with(r#""name":"泵站","group":"江苏"}"#), "{body}");
    let second = route(r#"{"clientId":1,"deviceId":2,"sn":"sn-2","newState":"故障"}"#);
    assert_eq!(second["sinks"][0]["sends"]["request"]["body"], "二号, ");

    let check = || {
        let output = bridge(folder.path(), &["check"]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(check().0, Some(0));
    fs::write(path("names.csv"), "device,name\n1/1,a\n1/1,b\n7,c\n").unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "1/1 is named for the second time",
        "names.csv:3:1",
        "`7` is no client/device",
        "names.csv:4:1",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    fs::write(path("names.csv"), b"device,name\n1/1,\xb1\xc3\xd5\xbe\n").unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("no names are read")
            && said.contains("names.csv:2 is not UTF-8, but GB18030"),
        "{said}"
    );
    fs::remove_file(path("names.csv")).unwrap();
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("there is no file"), "{said}");
}
