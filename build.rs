//! What `--version` says of a release: the commit and its date. A build from an archive of the
//! sources says what `git archive` has written into `.commit`; where neither is known, the version
//! stands alone. Other builds say nothing, since each commit would have them compiled again.

use std::process::Command;

/// Of a commit's hash.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=.commit");
    println!("cargo:rerun-if-env-changed=STOMP_BRIDGE_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let commit = match std::env::var("PROFILE").as_deref() {
        Ok("release") => given().or_else(archived).or_else(of_git),
        _ => None,
    };
    let text = match commit {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo:rustc-env=STOMP_BRIDGE_VERSION={text}");
}

/// What the one who builds says, such as a packager.
fn given() -> Option<String> {
    std::env::var("STOMP_BRIDGE_COMMIT").ok().and_then(known)
}

/// `git archive` has put it in the place of `$Format:…$`.
fn archived() -> Option<String> {
    let text = std::fs::read_to_string(".commit").ok()?;
    known(text).filter(|text| !text.starts_with('$'))
}

fn of_git() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| known(text)).flatten()
    };
    // A folder of sources may lie within a repository of something else.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["show", "-s", "--format=%H %cs", "HEAD"])
}

/// The hash cut to as many digits everywhere: git's own short form has more of them the more a clone
/// holds, and the same commit is to give the same program.
fn known(text: String) -> Option<String> {
    let text = text.trim();
    let (hash, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    let is_hash = hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let short = match is_hash {
        true => &hash[..DIGITS],
        false => hash,
    };
    (!text.is_empty()).then(|| format!("{short}{rest}"))
}
