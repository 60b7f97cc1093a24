//! Roles: what the holder of a token may do.

/// A role. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads the metrics, which hold no word of a customer.
    Metrics,
    /// Reads everything and changes nothing.
    Read,
    /// Acts on events, sources and destinations: replay, release, pause, resume.
    Operate,
    /// Changes mappings.
    Edit,
    /// Does everything: the role of `admin.token`.
    Everything,
}

impl Role {
    /// The roles that `[[admin.tokens]]` can give, by their names.
    // Not `Everything`: there is one such token, so that an audit knows who it was.
    pub const NAMED: [(&'static str, Role); 4] = [
        ("metrics", Role::Metrics),
        ("read", Role::Read),
        ("operate", Role::Operate),
        ("edit", Role::Edit),
    ];

    /// Returns the role of this name, that of `admin.token` included.
    pub fn named(name: &str) -> Option<Role> {
        let everything = ("everything", Role::Everything);
        let mut all = Role::NAMED.into_iter().chain([everything]);
        all.find(|(it, _)| *it == name).map(|(_, role)| role)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Metrics => "metrics",
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Edit => "edit",
            Role::Everything => "everything",
        }
    }

    /// Returns the role as the least that suffices, for a message.
    pub(super) fn as_least(self) -> String {
        match self {
            Role::Metrics | Role::Read | Role::Operate | Role::Edit => {
                format!("{} or more", self.as_str())
            }
            Role::Everything => "admin.token".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_includes_those_named_before_it() {
        assert!(Role::NAMED.is_sorted_by_key(|(_, role)| *role));
        for (name, role) in Role::NAMED {
            assert_eq!(role.as_str(), name);
            assert!(role < Role::Everything);
        }
    }
}
