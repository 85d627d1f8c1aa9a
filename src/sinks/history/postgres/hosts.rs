//! The hosts of a URL, as libpq takes several: `postgres://user@a:5432,b:5433/database`, or lists in
//! `host` and `port`. Everything else of the URL holds for each of them.

use url::Url;

/// One URL for each host; the text as it is, where it names one. The error shows nothing of it.
pub fn urls(text: &str) -> Result<Vec<String>, String> {
    let urls = of_authority(text);
    let Some((hosts, ports)) = lists(&urls[0]) else {
        return Ok(urls);
    };
    let count = hosts.as_ref().map_or(urls.len(), Vec::len);
    if let Some(ports) = &ports
        && ![1, count].contains(&ports.len())
    {
        return Err(format!(
            "the URL names {count} hosts and {} ports; expected one port, or one for each host",
            ports.len()
        ));
    }
    let nth = |list: &Option<Vec<String>>, index: usize| {
        let list = list.as_ref()?;
        list.get(index).or(list.first()).cloned()
    };
    let one = |index: usize| {
        let base = urls.get(index).unwrap_or(&urls[0]);
        replaced(
            base,
            [("host", nth(&hosts, index)), ("port", nth(&ports, index))],
        )
    };
    Ok((0..count).map(one).collect())
}

/// By the commas between the hosts of the authority.
fn of_authority(text: &str) -> Vec<String> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text[start..].find(['/', '?', '#']);
    let end = end.map_or(text.len(), |at| start + at);
    let hosts = text[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    let (before, after) = (&text[..hosts], &text[end..]);
    let each = text[hosts..end].split(',');
    each.map(|host| format!("{before}{host}{after}")).collect()
}

/// A list of a parameter's values.
type List = Option<Vec<String>>;

/// The lists in `host` and `port`; `None`: none of them is one.
fn lists(url: &str) -> Option<(List, List)> {
    let url = Url::parse(url).ok()?;
    // The last one counts, as it does for sqlx.
    let list = |name: &str| {
        let value = url.query_pairs().filter(|(key, _)| key == name).last()?.1;
        Some(value.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    let lists = (list("host"), list("port"));
    let is_list = |list: &List| list.as_ref().is_some_and(|list| list.len() > 1);
    (is_list(&lists.0) || is_list(&lists.1)).then_some(lists)
}

/// The URL with these values in its query.
fn replaced<const N: usize>(url: &str, values: [(&str, Option<String>); N]) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return url.to_owned();
    };
    let keep = |name: &str| {
        !values
            .iter()
            .any(|(key, value)| *key == name && value.is_some())
    };
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| keep(name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let set = values
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    pairs.extend(set);
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_url_of_its_own() {
        for (text, expected) in [
            (
                "postgres://u:p@a/d?x=1,2",
                &["postgres://u:p@a/d?x=1,2"][..],
            ),
            ("postgres://u:p,q@a/d", &["postgres://u:p,q@a/d"]),
            (
                "postgres://u:p@a:1,[::1]:2,c/d?x",
                &[
                    "postgres://u:p@a:1/d?x",
                    "postgres://u:p@[::1]:2/d?x",
                    "postgres://u:p@c/d?x",
                ],
            ),
            (
                "postgres://u@x/d?host=a,b&port=1,2",
                &[
                    "postgres://u@x/d?host=a&port=1",
                    "postgres://u@x/d?host=b&port=2",
                ],
            ),
            (
                "postgres://u@a,b/d?port=1,2",
                &["postgres://u@a/d?port=1", "postgres://u@b/d?port=2"],
            ),
            (
                "postgres://u@x/d?host=a,b&port=7&sslmode=disable",
                &[
                    "postgres://u@x/d?sslmode=disable&host=a&port=7",
                    "postgres://u@x/d?sslmode=disable&host=b&port=7",
                ],
            ),
            ("no URL, at all", &["no URL", " at all"]),
        ] {
            assert_eq!(urls(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn ports_fit_the_hosts() {
        let problem = urls("postgres://u:s3cret@a,b,c/d?port=1,2").unwrap_err();
        assert!(
            problem.contains("3 hosts and 2 ports") && !problem.contains("s3cret"),
            "{problem}"
        );
    }
}
