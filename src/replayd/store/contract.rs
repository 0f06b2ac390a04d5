//! What every store promises: one function, one promise; a macro holds each store to all of them.

/// Holds each store to every promise.
macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(crate::store::MemoryStore::default()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                let store = crate::store::SqliteStore::open(&dir.path().join("replayd.db")).unwrap();
                super::$promise(store).await;
            })*
        }
    };
}

mod access;
pub(crate) mod captures;
mod endings;
mod replays;
mod retention;
pub(crate) mod samples;
