//! Who may use the API, and what was done with it: tokens and audit rows.

use super::Pending;
use crate::clock::UnixMillis;

/// What a token's bearer may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Reads.
    Viewer,
    /// Replays, labels and imports.
    Operator,
    /// Deletes, opens boot gates, and gives tokens.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub(crate) const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Gives its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Finds the role of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// SHA-256 of a token; the token itself is kept nowhere.
pub(crate) type Digest = [u8; 32];

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewToken {
    /// Its name; one token of a name may live.
    pub(crate) name: String,
    /// What its bearer may do.
    pub(crate) role: Role,
    /// What is kept of it.
    pub(crate) digest: Digest,
    /// Who made it.
    pub(crate) created_by: String,
    /// When.
    pub(crate) created_at: UnixMillis,
    /// From when on it does not count; none = never.
    pub(crate) expires_at: Option<UnixMillis>,
}

/// A token that lives, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// Its number.
    pub(crate) id: i64,
    /// Its name.
    pub(crate) name: String,
    /// What its bearer may do.
    pub(crate) role: Role,
    /// Who made it.
    pub(crate) created_by: String,
    /// When.
    pub(crate) created_at: UnixMillis,
    /// From when on it does not count; none = never.
    pub(crate) expires_at: Option<UnixMillis>,
    /// When it was shown last, to the minute; none = never.
    pub(crate) used_at: Option<UnixMillis>,
}

/// Something that somebody began to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewAudit {
    /// When.
    pub(crate) at: UnixMillis,
    /// Who.
    pub(crate) actor: String,
    /// What: a noun and a verb, as in `captures.delete`.
    pub(crate) action: &'static str,
    /// To what, and how; JSON.
    pub(crate) detail: String,
}

/// Something that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// Its number; later ones are greater.
    pub(crate) id: i64,
    /// When it began.
    pub(crate) at: UnixMillis,
    /// Who.
    pub(crate) actor: String,
    /// What.
    pub(crate) action: String,
    /// To what, and how; JSON.
    pub(crate) detail: String,
    /// What became of it; none if it runs, or if the daemon ended before it did.
    pub(crate) outcome: Option<String>,
}

/// Where tokens and audit rows are kept.
///
/// What each function promises is in the contract suite.
pub(crate) trait Access: Send + Sync + 'static {
    /// Makes a token; none if one of that name lives.
    fn add_token(&self, token: NewToken) -> Pending<'_, Option<TokenRow>>;

    /// Shows the tokens that live, by name.
    fn tokens(&self) -> Pending<'_, Vec<TokenRow>>;

    /// Finds the token with this digest, if it lives.
    fn token(&self, digest: Digest) -> Pending<'_, Option<TokenRow>>;

    /// Notes that a token was shown.
    fn use_token(&self, id: i64, at: UnixMillis) -> Pending<'_, ()>;

    /// Ends the life of a token; false if none of that name lives.
    fn revoke_token(&self, name: String) -> Pending<'_, bool>;

    /// Writes down what is about to be done; gives the row's number.
    fn audit(&self, row: NewAudit) -> Pending<'_, i64>;

    /// Writes down what became of it.
    fn end_audit(&self, id: i64, outcome: String) -> Pending<'_, ()>;

    /// Shows what was done before the row `before`, the newest first.
    fn audits(&self, before: Option<i64>, limit: u32) -> Pending<'_, Vec<AuditRow>>;
}
