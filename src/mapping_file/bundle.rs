//! Mapping files and samples that are part of the program.

mod guide;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::diagnostics::document::Document;
pub(crate) use guide::Guide;

/// Paths below `mappings/`, each with its text.
// Written by build.rs, so that a new file in `mappings/` needs no line of code.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Digests of all texts that bundled mapping files ever had, the present ones included, each line
/// with the source's name.
// By their digests, an unchanged copy of a former text is known as such for good, and the old texts
// do not fill the program. A test demands the line of each new text, so the list is never behind.
const DIGESTS: &str = include_str!("bundle/digests.txt");

/// How the text of a file compares with the bundled file of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyState {
    /// It is the bundled text.
    Current,
    /// It is an earlier bundled text, unchanged.
    Outdated,
    /// Somebody has changed it, or it is no copy at all.
    Own,
}

/// Returns the mapping files in the order of their names; `text` finds their samples.
pub(crate) fn mappings() -> Vec<Document> {
    let file = |name| Document { name: format!("{name}.toml"), text: mapping(name).to_owned() };
    names().map(file).collect()
}

/// Returns the names of the sources, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    // `build.rs` sorts the paths, by which `discord-commands.toml` comes before `discord.toml`.
    let mut names: Vec<&str> = FILES
        .iter()
        .filter_map(|(path, _)| path.strip_suffix(".toml").filter(|name| !name.contains('/')))
        .collect();
    names.sort_unstable();
    names.into_iter()
}

fn mapping(name: &str) -> &'static str {
    text(&format!("{name}.toml")).unwrap_or_default()
}

pub(crate) fn text(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
}

/// Returns what the file of a source says about it and its set-up.
pub(crate) fn guide(name: &str) -> Guide {
    Guide::read(mapping(name))
}

/// Compares the text of a source's file with the bundled ones.
pub(crate) fn compare(name: &str, text: &str) -> CopyState {
    let bundled = mapping(name);
    let digest = digest(text);
    if !bundled.is_empty() && digest == self::digest(bundled) {
        return CopyState::Current;
    }
    let line = format!("{digest} {name}");
    if DIGESTS.lines().any(|known| known == line) { CopyState::Outdated } else { CopyState::Own }
}

/// Returns the SHA-256 digest of a text, in which all line ends count the same.
// Git and editors on Windows change them.
fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.replace("\r\n", "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_every_bundled_text_is_listed() {
        let lines: Vec<String> =
            names().map(|name| format!("{} {name}", digest(mapping(name)))).collect();

        let missing: Vec<&String> =
            lines.iter().filter(|line| !DIGESTS.lines().any(|known| known == *line)).collect();

        let advice = "append these lines to src/mapping_file/bundle/digests.txt, and remove none";
        assert!(missing.is_empty(), "{advice}: {missing:#?}");
    }

    #[test]
    fn unchanged_copy_of_a_former_text_is_outdated() {
        let former = |name: &str| {
            let current = format!("{} {name}", digest(mapping(name)));
            let of_name = |line: &&str| line.ends_with(&format!(" {name}")) && **line != current;
            DIGESTS.lines().filter(of_name).count()
        };
        assert!(former("typeform") > 0, "it has had another text before");

        assert_eq!(compare("typeform", mapping("typeform")), CopyState::Current);
        let windows = mapping("typeform").replace('\n', "\r\n");
        assert_eq!(compare("typeform", &windows), CopyState::Current);
        assert_eq!(compare("typeform", mapping("form")), CopyState::Own);
        assert_eq!(compare("acme", mapping("form")), CopyState::Own);
        assert_eq!(compare("acme", ""), CopyState::Own);
    }

    #[test]
    fn sources_are_in_the_order_of_their_names() {
        let names: Vec<&str> = names().collect();

        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(names.len(), mappings().len());
    }

    #[test]
    fn every_bundled_file_says_what_it_does_and_how_to_set_it_up() {
        for name in names() {
            let guide = guide(name);

            assert!(guide.summary.contains(": ") && guide.summary.ends_with('.'), "{guide:?}");
            let setup = guide.setup.join("\n");
            assert!(guide.setup.len() >= 3, "{name}: {setup}");
            assert!(setup.contains(&format!("/hooks/{name}")), "{name}: {setup}");
            assert!(!setup.contains("Customization"), "{name}: {setup}");
        }
        let typeform = guide("typeform");
        assert_eq!(typeform.summary, "Typeform: a completed form becomes feedback.");
        assert_eq!(
            typeform.setup.first(),
            Some(&"1. Generate a random secret, for example with: openssl rand -hex 32")
        );
        assert_eq!(typeform.setup.last(), Some(&"4. Enable the webhook and send a test request."));
    }
}
