//! Whether two titles are the same but for how they are written: pure.

use icu_normalizer::ComposingNormalizerBorrowed;
use regex::Regex;

/// Punctuation, space and what cannot be seen. Signs that tell titles apart stay, such as C++ and C#.
const IGNORED: &str = r"[\p{P}\p{Z}\p{Cc}\p{Cf}\x{fe0e}\x{fe0f}&&[^#%&@*]]+";

const SIMPLER_MAX: usize = 8;

pub(super) struct TitleNormalizer {
    ignored: Regex,
}

impl TitleNormalizer {
    pub(super) fn new() -> TitleNormalizer {
        TitleNormalizer { ignored: Regex::new(IGNORED).expect("it is tested to be one") }
    }

    /// Equal for titles that differ in case, punctuation, white space or the form of their
    /// characters. Empty where nothing else is there.
    pub(super) fn key(&self, title: &str) -> String {
        let mut key = self.simpler(title);
        // What is left may be composed anew, and ẞ is ß only then: nearly always once is enough.
        for _ in 0..SIMPLER_MAX {
            let simpler = self.simpler(&key);
            if simpler == key {
                break;
            }
            key = simpler;
        }
        key
    }

    fn simpler(&self, title: &str) -> String {
        let composing = ComposingNormalizerBorrowed::new_nfkc();
        let plain = composing.normalize(title);
        // By way of capitals, so that ß is ss, and by single characters, so that no sigma is a final one.
        let folded: String = plain.to_uppercase().chars().flat_map(char::to_lowercase).collect();
        let folded = composing.normalize(&folded);
        self.ignored.replace_all(&folded, "").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(title: &str) -> String {
        TitleNormalizer::new().key(title)
    }

    #[test]
    fn the_same_title_may_be_written_in_many_ways() {
        let check = |one: &str, other: &str| assert_eq!(key(one), key(other), "{one} {other}");
        check("Dark mode", "  dark-mode! ");
        check("Single sign-on (SSO)", "single  sign on – SSO");
        check("Größe ändern", "GRÖSSE ÄNDERN");
        check("Cafe\u{301} list", "café list");
        check("ＣＳＶ　ｅｘｐｏｒｔ", "CSV export");
        check("ΤΕΛΟΣ", "τελος");
        check("ダークモード、お願い。", "ダークモード お願い");
        check("What’s new?", "what's new");
        check("Maẞe", "maße");
        check("k´", "k\u{301}");
    }

    #[test]
    fn other_titles_stay_others() {
        let check = |one: &str, other: &str| assert_ne!(key(one), key(other), "{one} {other}");
        check("Support C++", "Support C");
        check("Support C#", "Support C");
        check("Add 👍", "Add 👎");
        check("Export 1", "Export 2");
        check("resume", "résumé");
    }

    #[test]
    fn a_title_of_nothing_has_no_key() {
        assert_eq!(key(" ?!\u{200b} "), "");
    }

    proptest! {
        #[test]
        fn case_and_white_space_make_no_difference(title in "\\PC{0,40}") {
            let spelling = TitleNormalizer::new();
            let key = spelling.key(&title);
            prop_assert_eq!(&spelling.key(&title.to_uppercase()), &key);
            prop_assert_eq!(&spelling.key(&format!("\t{title} ")), &key);
        }

        #[test]
        fn a_key_is_its_own_key(title in "\\PC{0,40}") {
            let spelling = TitleNormalizer::new();
            let key = spelling.key(&title);
            prop_assert_eq!(spelling.key(&key), key);
        }
    }
}
