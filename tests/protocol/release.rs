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
