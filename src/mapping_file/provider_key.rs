//! `provider` of a mapping file: whether there is one, and whether it is known.

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::intake::provider::Provider;

/// Reports a provider that nobody knows.
pub(super) fn check_provider(name: &SpannedText, mistakes: &mut Diagnostics) {
    if Provider::builtin(&name.text).is_some() {
        return;
    }
    let meant = nearest(&name.text, Provider::names());
    let help = match meant {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => "`savio-relay providers` lists them; for another tool write [signature] and \
                 [event] instead"
            .to_owned(),
    };
    let message = format!("unknown provider `{}`", name.text);
    let fix = meant.and_then(|meant| name.written(meant));
    mistakes.push(Diagnostic::error(name.place.clone(), message).help(help).maybe_fix(fix));
}

/// Returns whether the file says who sends.
pub(super) fn has_sender(file: &mut TomlTable<'_>) -> bool {
    file.value("provider").is_some() || file.value("signature").is_some()
}

/// Returns whether the file names a provider, in a way that nobody knows.
pub(super) fn lacks_provider(file: &mut TomlTable<'_>, named: Option<&SpannedText>) -> bool {
    match named {
        Some(named) => Provider::builtin(&named.text).is_none(),
        None if file.value("provider").is_some() => true,
        None => !has_sender(file) && file.misspells("provider"),
    }
}
