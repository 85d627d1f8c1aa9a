//! What names the version: a release that is forgotten there sends its readers to the one before.

use crate::pages;

/// The pages that say how to install.
const PAGES: [&str; 3] = ["README.md", "README.zh-CN.md", "docs/install.md"];

#[test]
fn pages_that_say_how_to_install_name_this_version() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    for page in PAGES {
        let text = pages::read(page);
        for package in [
            format!("stomp-bridge_{VERSION}_amd64.deb"),
            format!("stomp-bridge-{VERSION}-x86_64-linux.tar.gz"),
        ] {
            assert!(text.contains(&package), "{page} does not name {package}");
        }
    }
}

/// `cargo install --git` does not read `.cargo/config.toml`: the page has its settings.
#[test]
fn the_page_has_the_settings_that_the_repository_is_built_with() {
    let settings = pages::read(".cargo/config.toml");
    let page = pages::read("docs/install.md");
    let settings: Vec<String> = settings
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(settings.len(), 2, "{settings:?}");
    for setting in settings {
        assert!(
            page.contains(&setting),
            "docs/install.md does not have {setting}"
        );
    }
}
