//! `docs/recipes.md` and its Chinese page: each configuration loads, and both pages have the same
//! ones.

use std::path::Path;

use stomp_bridge::source::Broker;

use crate::pages::{self, Block};

const PAGES: &[&str] = &["docs/recipes.md", "docs/zh/recipes.md"];

#[test]
fn every_configuration_of_the_recipes_loads_without_a_warning() {
    for page in PAGES {
        let blocks = pages::blocks(page, "toml");
        assert!(
            blocks.len() >= 9,
            "{page} has {} configurations",
            blocks.len()
        );
        for Block { line, text } in blocks {
            // As if it lay beside the page: no file of it is there.
            match pages::loads(Path::new(page), &text) {
                Ok(plan) => assert_eq!(plan.warnings, [], "{page}:{line}"),
                Err(problems) => panic!("{page}, the configuration in line {line}: {problems}"),
            }
        }
    }
}

/// The configurations of one language are those of the other, but for the comments.
#[test]
fn both_languages_have_the_same_configurations() {
    let values = |page: &str, language: &str| -> Vec<String> {
        let blocks = pages::blocks(page, language).into_iter();
        blocks.map(|block| without_comments(&block.text)).collect()
    };
    for language in ["toml", "nginx", "erlang", "yaml", "sh"] {
        let [english, chinese] = PAGES
            .iter()
            .map(|page| values(page, language))
            .collect::<Vec<_>>()
            .try_into()
            .expect("two pages");
        assert!(!english.is_empty(), "no {language}");
        assert_eq!(chinese, english, "{language}");
    }
}

/// A recipe that promises that nothing is lost keeps to it.
#[test]
fn the_queues_of_the_recipes_lose_nothing() {
    for (marker, broker) in [
        ("rabbitmq.example.com", Broker::RabbitMq),
        ("activemq.example.com", Broker::ActiveMq),
    ] {
        let mut blocks = pages::blocks(PAGES[0], "toml").into_iter();
        let recipe = blocks.find(|block| block.text.contains(marker));
        let text = recipe
            .unwrap_or_else(|| panic!("no recipe for {marker}"))
            .text;
        let plan = pages::loads(Path::new(PAGES[0]), &text)
            .unwrap_or_else(|problems| panic!("{marker}: {problems}"));
        for topic in plan.source.topics.iter() {
            let promise = broker.guarantee(topic, Default::default(), Default::default());
            assert!(
                promise.en.starts_with("nothing is lost"),
                "{}: {promise}",
                topic.name
            );
        }
    }
}

/// What a recipe tells a proxy is what the tests tell it.
#[test]
fn the_proxy_of_the_recipe_passes_upgrades_as_that_of_the_tests() {
    for page in PAGES {
        let blocks = pages::blocks(page, "nginx");
        let before_the_platform = &blocks.first().expect("a configuration of nginx").text;
        for line in peers::nginx::UPGRADE.lines() {
            assert!(before_the_platform.contains(line), "{page} lacks {line}");
        }
    }
}

/// A `#` begins a comment behind a blank, or at the beginning of a line; none is in a text here.
fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match line.trim_start().starts_with('#') {
            true => "",
            false => line.split(" #").next().unwrap_or_default().trim_end(),
        });
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}
