//! A store that does not always answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::Revision;
use store::{Commit, Committed, Entry, Key, Lease, Listing, Op, Store, StoreError, Watch};
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    None,
    /// The next commit that writes below this key is done, and its answer lost.
    LosesAnswer(Key),
    /// It is lost on the way.
    LosesQuestion(Key),
    /// Nothing is answered until then; whether anything was asked.
    Away(Instant, bool),
}

#[derive(Debug)]
pub(crate) struct Unsteady {
    store: Arc<dyn Store>,
    trouble: Mutex<Trouble>,
}

impl Unsteady {
    pub(crate) fn over(store: Arc<dyn Store>) -> Arc<Self> {
        let trouble = Mutex::new(Trouble::None);
        Arc::new(Self { store, trouble })
    }

    pub(crate) fn get_into(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// Whether what was to go wrong has.
    pub(crate) fn is_steady(&self) -> bool {
        match &*self.trouble.lock().unwrap() {
            Trouble::None => true,
            Trouble::LosesAnswer(_) | Trouble::LosesQuestion(_) => false,
            Trouble::Away(until, was_asked) => *was_asked && Instant::now() >= *until,
        }
    }

    fn answers(&self) -> Result<(), StoreError> {
        match &mut *self.trouble.lock().unwrap() {
            Trouble::Away(until, was_asked) if Instant::now() < *until => {
                *was_asked = true;
                Err(lost())
            }
            _ => Ok(()),
        }
    }

    fn next_trouble_of(&self, commit: &Commit) -> Trouble {
        let mut trouble = self.trouble.lock().unwrap();
        let is_meant = match &*trouble {
            Trouble::LosesAnswer(place) | Trouble::LosesQuestion(place) => commit
                .ops
                .iter()
                .any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(place))),
            Trouble::None | Trouble::Away(..) => false,
        };
        match is_meant {
            true => std::mem::replace(&mut *trouble, Trouble::None),
            false => Trouble::None,
        }
    }
}

fn lost() -> StoreError {
    StoreError::unavailable("asking", "it is in trouble")
}

#[async_trait]
impl Store for Unsteady {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.answers()?;
        self.store.get(key).await
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        self.answers()?;
        self.store.list(prefix).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.answers()?;
        match self.next_trouble_of(&commit) {
            Trouble::LosesAnswer(_) => {
                self.store.commit(commit).await?;
                Err(lost())
            }
            Trouble::LosesQuestion(_) => Err(lost()),
            Trouble::None | Trouble::Away(..) => self.store.commit(commit).await,
        }
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        self.answers()?;
        self.store.watch(prefix, after).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        self.answers()?;
        self.store.lease(ttl).await
    }
}
