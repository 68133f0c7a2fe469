//! The audit log: appending to its one chain, reading it, and finding out whether it is whole.

use model::Checksum;
use model::audit::{AuditBlock, AuditHead, AuditRecord};
use sha2::{Digest as _, Sha256};

use crate::{Committed, Entry, Key, Store, StoreError, Txn, key};

/// How often an append is tried while others append.
const MAX_ATTEMPTS: u32 = 64;
/// Blocks that others may have appended since a call that was left in doubt.
const LOOK_BACK: u64 = 16;

/// In one block. When this returns, they are there. Records that an earlier call may have left in doubt can be given again.
pub async fn append(store: &dyn Store, records: &[AuditRecord]) -> Result<(), StoreError> {
    for _ in 0..MAX_ATTEMPTS {
        let head = key::AUDIT_HEAD.get(store, &key::audit_head()).await?;
        let newest = head.as_ref().map(|head| &head.value);
        if let Some(head) = newest
            && is_there(store, head.number, records).await?
        {
            return Ok(());
        }
        let block = AuditBlock {
            number: newest.map_or(1, |head| head.number + 1),
            before: newest.map_or_else(|| hash_of(b""), |head| head.hash.clone()),
            records: records.to_vec(),
        };
        let place = key::audit_block(block.number);
        let next = AuditHead {
            number: block.number,
            hash: hash_of(&key::AUDIT.encode(&place, &block)?),
        };
        let txn = Txn::new().create(&key::AUDIT, place, &block);
        let txn = match &head {
            Some(head) => txn.replace(&key::AUDIT_HEAD, head, &next),
            None => txn.create(&key::AUDIT_HEAD, key::audit_head(), &next),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
    }
    Err(StoreError::Contended {
        attempts: MAX_ATTEMPTS,
    })
}

async fn is_there(
    store: &dyn Store,
    newest: u64,
    records: &[AuditRecord],
) -> Result<bool, StoreError> {
    for number in (newest.saturating_sub(LOOK_BACK).max(1)..=newest).rev() {
        let found = key::AUDIT.get(store, &key::audit_block(number)).await?;
        if found.is_some_and(|block| block.value.records == records) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A block as it is kept, with the hash that the next one must have.
#[derive(Debug, Clone)]
pub struct Kept {
    pub key: Key,
    pub block: AuditBlock,
    hash: Checksum,
}

/// Reads the log a hundred blocks at a time, the newest first.
#[derive(Debug)]
pub struct Pages<'a> {
    store: &'a dyn Store,
    /// Of hundreds; `None`: all was read.
    next: Option<u64>,
    before: u64,
}

impl<'a> Pages<'a> {
    /// From the block before that one down; without it, from the newest.
    pub async fn new(store: &'a dyn Store, before: Option<u64>) -> Result<Self, StoreError> {
        let head = key::AUDIT_HEAD.get(store, &key::audit_head()).await?;
        let end = head.map_or(0, |head| head.value.number + 1);
        let before = before.unwrap_or(end).min(end);
        Ok(Self {
            store,
            next: before.checked_sub(1).map(|newest| newest / 100),
            before,
        })
    }

    /// The newest first; `None` when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<Kept>>, StoreError> {
        let Some(hundred) = self.next else {
            return Ok(None);
        };
        let listed = self.store.list(&key::audit_blocks(hundred)).await?;
        let mut page = Vec::with_capacity(listed.entries.len());
        for entry in &listed.entries {
            page.push(kept(entry)?);
        }
        page.retain(|kept| kept.block.number < self.before);
        page.reverse();
        // What has gone for its age has gone from the beginning.
        self.next = hundred.checked_sub(1).filter(|_| !page.is_empty());
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

fn kept(entry: &Entry) -> Result<Kept, StoreError> {
    Ok(Kept {
        key: entry.key.clone(),
        block: key::AUDIT.decode(entry)?.value,
        hash: hash_of(&entry.value),
    })
}

/// What was found of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The oldest that is kept; what came before it was let go for its age.
    pub first: Option<u64>,
    pub head: Option<AuditHead>,
    /// Why it is not whole.
    pub fault: Option<String>,
}

/// From the newest back; what is appended meanwhile is no fault.
pub async fn verify(store: &dyn Store) -> Result<Verified, StoreError> {
    let head = key::AUDIT_HEAD.get(store, &key::audit_head()).await?;
    let head = head.map(|head| head.value);
    let mut verified = Verified {
        first: None,
        head: head.clone(),
        fault: None,
    };
    let Some(head) = head else {
        let any = store.list(&key::AUDIT.prefix()).await?;
        verified.fault = (!any.entries.is_empty()).then(|| "the head is missing".to_owned());
        return Ok(verified);
    };
    let mut pages = Pages::new(store, Some(head.number + 1)).await?;
    let (mut number, mut hash) = (head.number, head.hash);
    while let Some(page) = pages.next().await? {
        for Kept {
            block, hash: is, ..
        } in page
        {
            if block.number != number {
                let missing = block.number + 1;
                verified.fault = Some(format!("blocks {missing} to {number} are missing"));
                return Ok(verified);
            }
            if is != hash {
                verified.fault = Some(format!("block {number} was changed"));
                return Ok(verified);
            }
            verified.first = Some(number);
            (number, hash) = (number.saturating_sub(1), block.before);
        }
    }
    if verified.first.is_none() {
        verified.fault = Some(format!("block {number} is missing"));
    }
    Ok(verified)
}

fn hash_of(bytes: &[u8]) -> Checksum {
    Checksum::of_digest(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Timestamp;
    use model::audit::DeedEnd;
    use uuid::Uuid;

    use super::*;
    use crate::Embedded;

    fn record(status: u16) -> AuditRecord {
        AuditRecord::Ended(DeedEnd {
            id: Uuid::now_v7(),
            at: Timestamp::UNIX_EPOCH,
            status,
            details: String::new(),
        })
    }

    async fn chain(length: u16) -> Arc<Embedded> {
        let store = Embedded::open_in_memory().unwrap();
        for status in 0..length {
            append(&*store, &[record(status)]).await.unwrap();
        }
        store
    }

    async fn fault_of(store: &dyn Store) -> Option<String> {
        verify(store).await.unwrap().fault
    }

    #[tokio::test]
    async fn a_chain_is_whole_until_somebody_changes_it_or_takes_something_out() {
        let store = chain(5).await;
        let verified = verify(&*store).await.unwrap();
        assert_eq!((verified.first, verified.fault), (Some(1), None));
        assert_eq!(verified.head.unwrap().number, 5);

        for (number, words) in [(3, "block 3 was changed"), (5, "block 5 was changed")] {
            let store = chain(5).await;
            let seen = key::AUDIT.get(&*store, &key::audit_block(number)).await;
            let mut changed = seen.unwrap().unwrap().value;
            changed.records = vec![record(999)];
            let place = key::audit_block(number);
            let txn = Txn::new().put(&key::AUDIT, place, &changed);
            txn.commit(&*store).await.unwrap();
            assert_eq!(fault_of(&*store).await.as_deref(), Some(words));
        }
        for (number, words) in [
            (3, "blocks 3 to 3 are missing"),
            (5, "blocks 5 to 5 are missing"),
        ] {
            let store = chain(5).await;
            let txn = Txn::new().delete(key::audit_block(number));
            txn.commit(&*store).await.unwrap();
            let fault = fault_of(&*store).await.unwrap();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[tokio::test]
    async fn what_grew_too_old_may_go_from_the_beginning() {
        let store = chain(5).await;
        let txn = Txn::new().delete(key::audit_block(1));
        txn.commit(&*store).await.unwrap();
        let verified = verify(&*store).await.unwrap();
        assert_eq!((verified.first, verified.fault), (Some(2), None));
    }

    #[tokio::test]
    async fn it_is_read_from_the_newest_back_a_page_at_a_time() {
        let store = chain(250).await;
        let numbers = async |before| {
            let mut pages = Pages::new(&*store, before).await.unwrap();
            let mut numbers = Vec::new();
            while let Some(page) = pages.next().await.unwrap() {
                numbers.push(
                    page.iter()
                        .map(|kept| kept.block.number)
                        .collect::<Vec<_>>(),
                );
            }
            numbers
        };
        let all = numbers(None).await;
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [51, 100, 99]);
        assert_eq!(all.concat(), (1..=250).rev().collect::<Vec<u64>>());
        assert_eq!(numbers(Some(3)).await, [[2, 1]]);
        assert_eq!(verify(&*store).await.unwrap().first, Some(1));
    }

    #[tokio::test]
    async fn many_append_to_one_chain_and_none_gets_lost() {
        let store = Embedded::open_in_memory().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for status in 0..20 {
            let store = store.clone();
            tasks.spawn(async move { append(&*store, &[record(status)]).await.unwrap() });
        }
        tasks.join_all().await;
        let verified = verify(&*store).await.unwrap();
        assert_eq!(verified.fault, None);
        assert_eq!(verified.head.unwrap().number, 20);
    }

    #[tokio::test]
    async fn what_is_given_again_after_a_doubt_is_there_once() {
        let store = chain(1).await;
        let records = [record(1), record(2)];
        append(&*store, &records).await.unwrap();
        append(&*store, &records).await.unwrap();
        assert_eq!(verify(&*store).await.unwrap().head.unwrap().number, 2);
        // Also where another was quicker in between.
        append(&*store, &[record(3)]).await.unwrap();
        append(&*store, &records).await.unwrap();
        assert_eq!(verify(&*store).await.unwrap().head.unwrap().number, 3);
    }
}
