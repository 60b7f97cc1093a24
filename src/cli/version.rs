//! The version of the program, as people name it in a report.

/// The version, the commit of which the program was built, and its date, as far as the build knew
/// them.
pub(super) const VERSION: &str = env!("BUILD_VERSION");
