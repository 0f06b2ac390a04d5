//! Who asks, what they may do, and what they did.

use crate::clock::UnixMillis;
use crate::store::StoreError;
use crate::store::access::{self as kept, AuditRow, Digest, NewAudit, NewToken, Role, TokenRow};
use crate::token::{Token, TokenError};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use thiserror::Error;

/// How the administrator of the data directory is called.
pub(crate) const ADMIN: &str = "admin";
/// Longest name of a token.
const NAME_BYTES_MAX: usize = 64;
/// How exactly the last use of a token is known.
const USE_MS: i64 = 60_000;

/// Somebody who showed a token that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// The token's name.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
}

/// Tokens and audit rows, as they are used.
#[derive(Clone)]
pub(crate) struct Access {
    admin: Token,
    store: Arc<dyn kept::Access>,
}

/// Why there is no new token.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    /// The name cannot be one.
    #[error("`{}` is not a name; allowed are 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, `.`, `_`, `-`", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
    /// Another token has the name.
    #[error("a token called `{name}` lives; revoke it first, or choose another name")]
    Taken {
        /// The name.
        name: String,
    },
    /// It would not count for a moment.
    #[error("it would expire in the past")]
    Past,
    /// There is no randomness.
    #[error(transparent)]
    Draw(#[from] TokenError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Its name.
    pub(crate) name: String,
    /// What its bearer may do.
    pub(crate) role: Role,
    /// From when on it does not count; none = never.
    pub(crate) expires_at: Option<UnixMillis>,
}

/// An audit row whose action runs.
#[derive(Debug)]
#[must_use = "what became of it has to be written down"]
pub(crate) struct Begun(i64);

impl Access {
    /// Lets the bearer of `admin` do everything, and those whom `store` knows what they may.
    pub(crate) fn new(admin: Token, store: Arc<dyn kept::Access>) -> Self {
        Self { admin, store }
    }

    /// Finds who shows `token`; none if it does not count.
    pub(crate) async fn who(&self, token: &[u8], now: UnixMillis) -> Result<Option<Who>, StoreError> {
        if self.admin.is(token) {
            let name = ADMIN.to_owned();
            return Ok(Some(Who {
                name,
                role: Role::Admin,
            }));
        }
        let found = self.store.token(digest(token)).await?;
        let Some(row) = found.filter(|row| row.expires_at.is_none_or(|at| now < at)) else {
            return Ok(None);
        };
        let is_noted = row.used_at.is_some_and(|at| now.0.saturating_sub(at.0) < USE_MS);
        if !is_noted && let Err(error) = self.store.use_token(row.id, now).await {
            // A full disk refuses this; reading goes on.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the use of a token is not noted"
            );
        }
        Ok(Some(Who {
            name: row.name,
            role: row.role,
        }))
    }

    /// Makes a token; the secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`CreateError`]; there is no token then.
    pub(crate) async fn create(&self, wish: Wish, by: &Who, now: UnixMillis) -> Result<(TokenRow, Token), CreateError> {
        if !is_name(&wish.name) || wish.name == ADMIN {
            return Err(CreateError::Name { name: wish.name });
        }
        if wish.expires_at.is_some_and(|at| at <= now) {
            return Err(CreateError::Past);
        }
        let token = Token::draw()?;
        let new = NewToken {
            name: wish.name.clone(),
            role: wish.role,
            digest: digest(token.secret().as_bytes()),
            created_by: by.name.clone(),
            created_at: now,
            expires_at: wish.expires_at,
        };
        let row = self.store.add_token(new).await?;
        row.map(|row| (row, token))
            .ok_or(CreateError::Taken { name: wish.name })
    }

    /// Shows the tokens that live, by name.
    pub(crate) async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        self.store.tokens().await
    }

    /// Ends the life of a token; false if none of that name lives.
    pub(crate) async fn revoke(&self, name: String) -> Result<bool, StoreError> {
        self.store.revoke_token(name).await
    }

    /// Writes down that `who` begins to do `action`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written down; it must not be done then.
    pub(crate) async fn begin(
        &self,
        who: &Who,
        action: &'static str,
        detail: String,
        now: UnixMillis,
    ) -> Result<Begun, StoreError> {
        let row = NewAudit {
            at: now,
            actor: who.name.clone(),
            action,
            detail,
        };
        self.store.audit(row).await.map(Begun)
    }

    /// Writes down what became of it; that it could not be is only logged, since it is done.
    pub(crate) async fn end(&self, begun: Begun, outcome: String) {
        if let Err(error) = self.store.end_audit(begun.0, outcome).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                audit = begun.0,
                "an audit row stays without outcome"
            );
        }
    }

    /// Shows what was done before the row `before`, the newest first.
    pub(crate) async fn audits(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.store.audits(before, limit).await
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access").finish_non_exhaustive()
    }
}

fn digest(token: &[u8]) -> Digest {
    Sha256::digest(token).into()
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn access() -> (Access, Token) {
        let admin = Token::draw().unwrap();
        (Access::new(admin.clone(), Arc::new(MemoryStore::default())), admin)
    }

    fn admin() -> Who {
        Who {
            name: ADMIN.to_owned(),
            role: Role::Admin,
        }
    }

    fn wish(name: &str, expires_at: Option<UnixMillis>) -> Wish {
        Wish {
            name: name.to_owned(),
            role: Role::Viewer,
            expires_at,
        }
    }

    #[tokio::test]
    async fn the_token_of_the_data_directory_is_the_administrator() {
        let (access, token) = access();
        assert_eq!(access.who(token.secret().as_bytes(), NOW).await.unwrap(), Some(admin()));
        assert_eq!(access.who(b"rpd_x", NOW).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_token_counts_until_the_moment_it_expires() {
        let (access, _) = access();
        let end = UnixMillis(NOW.0 + 5);
        let (_, token) = access.create(wish("ci", Some(end)), &admin(), NOW).await.unwrap();
        let shown = token.secret().as_bytes();
        assert_eq!(
            access.who(shown, UnixMillis(end.0 - 1)).await.unwrap().unwrap().name,
            "ci"
        );
        assert_eq!(access.who(shown, end).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_use_of_a_token_is_noted_once_a_minute() {
        let (access, _) = access();
        let (_, token) = access.create(wish("ci", None), &admin(), NOW).await.unwrap();
        for (later, noted) in [(0, 0), (59_999, 0), (60_000, 60_000)] {
            let now = UnixMillis(NOW.0 + later);
            access.who(token.secret().as_bytes(), now).await.unwrap().unwrap();
            let used_at = access.tokens().await.unwrap()[0].used_at;
            assert_eq!(used_at, Some(UnixMillis(NOW.0 + noted)), "{later}");
        }
    }

    #[tokio::test]
    async fn a_token_cannot_be_called_like_the_administrator_or_like_nothing() {
        let (access, _) = access();
        for name in [ADMIN, "", "a b", "é", &"x".repeat(65)] {
            let refused = access.create(wish(name, None), &admin(), NOW).await;
            assert!(matches!(refused, Err(CreateError::Name { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn a_second_token_of_a_name_is_refused() {
        let (access, _) = access();
        access.create(wish("ci", None), &admin(), NOW).await.unwrap();
        let refused = access.create(wish("ci", None), &admin(), NOW).await;
        assert!(matches!(refused, Err(CreateError::Taken { .. })));
        assert!(matches!(
            access.create(wish("x", Some(NOW)), &admin(), NOW).await,
            Err(CreateError::Past)
        ));
    }
}
