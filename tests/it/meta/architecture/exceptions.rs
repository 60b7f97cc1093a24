//! Where files of `src` do not keep to the order yet. These lists may only become shorter.

/// A file that uses a front page above it, and that front page.
pub(super) const FRONT_PAGE_USES: [(&str, &str); 0] = [];

/// Files that use each other in a circle.
pub(super) const CIRCLES: [&[&str]; 0] = [];
