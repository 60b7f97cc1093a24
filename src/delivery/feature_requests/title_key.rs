//! Keys that are equal for titles that differ only in spelling. Pure.

use icu_normalizer::ComposingNormalizerBorrowed;
use regex::Regex;

/// Punctuation, white space, and control, format and variation characters, which keys leave out.
// Signs that distinguish titles stay: `#` in C#, and symbols, which are no punctuation, such as the
// plus signs in C++.
const IGNORED: &str = r"[\p{P}\p{Z}\p{Cc}\p{Cf}\x{fe0e}\x{fe0f}&&[^#%&@*]]+";

const FOLDS_MAX: usize = 8;

pub(super) struct TitleNormalizer {
    ignored: Regex,
}

impl TitleNormalizer {
    pub(super) fn new() -> TitleNormalizer {
        TitleNormalizer { ignored: Regex::new(IGNORED).expect("it is tested to be one") }
    }

    /// Returns a key that is equal for titles that differ in case, punctuation, white space or
    /// Unicode form. It is empty for a title that has nothing else.
    pub(super) fn key(&self, title: &str) -> String {
        let mut key = self.fold_once(title);
        // Characters that meet once others are removed may compose anew, and ẞ becomes ß and then
        // ss. Once is nearly always enough.
        for _ in 0..FOLDS_MAX {
            let folded = self.fold_once(&key);
            if folded == key {
                break;
            }
            key = folded;
        }
        key
    }

    fn fold_once(&self, title: &str) -> String {
        // NFKC rather than NFC: full-width letters and ligatures are compatible with plain ones,
        // not equal.
        let composing = ComposingNormalizerBorrowed::new_nfkc();
        let plain = composing.normalize(title);
        // To upper case first, so that ß is ss, and to lower case by single characters, so that no
        // sigma is a final one.
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
    fn equal_titles_in_many_spellings_have_one_key() {
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
    fn different_titles_have_different_keys() {
        let check = |one: &str, other: &str| assert_ne!(key(one), key(other), "{one} {other}");
        check("Support C++", "Support C");
        check("Support C#", "Support C");
        check("Add 👍", "Add 👎");
        check("Export 1", "Export 2");
        check("resume", "résumé");
    }

    #[test]
    fn title_of_punctuation_has_an_empty_key() {
        assert_eq!(key(" ?!\u{200b} "), "");
    }

    proptest! {
        #[test]
        fn key_ignores_case_and_white_space(title in "\\PC{0,40}") {
            let spelling = TitleNormalizer::new();
            let key = spelling.key(&title);
            prop_assert_eq!(&spelling.key(&title.to_uppercase()), &key);
            prop_assert_eq!(&spelling.key(&format!("\t{title} ")), &key);
        }

        #[test]
        fn key_of_a_key_is_the_same(title in "\\PC{0,40}") {
            let spelling = TitleNormalizer::new();
            let key = spelling.key(&title);
            prop_assert_eq!(spelling.key(&key), key);
        }
    }
}
