//! `[issues]`: when a person should know of something.

use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::issues::Settings;

use super::values::{duration, set_if_some};

/// Applies the section `[issues]`.
pub(super) fn take(
    settings: &mut Settings,
    mut section: TomlTable<'_>,
    mistakes: &mut Diagnostics,
) {
    set_if_some(&mut settings.queue_age, duration(&mut section, "queue_age", mistakes));
    section.finish(mistakes);
}
